//! One control connection: the peer checked, a request read, replies written.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::answer::Desk;
use super::protocol::{REQUEST_MAX, Reply, Request};
use crate::events::SCHEMA;
use crate::model::log_line::timestamp;
use crate::model::report::ErrorReport;

/// How long a client may take to say what it wants.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// Serves a connection to its end.
pub(super) async fn connection(mut stream: UnixStream, desk: Arc<Desk>) {
    if let Err(error) = converse(&mut stream, &desk).await {
        tracing::debug!(%error, "a control connection broke");
    }
}

async fn converse(stream: &mut UnixStream, desk: &Desk) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        return write(stream, &refused("this instance belongs to another user")).await;
    }
    let mut line = Vec::new();
    let mut reader = BufReader::new(&mut *stream).take(REQUEST_MAX as u64);
    tokio::time::timeout(REQUEST_WITHIN, reader.read_until(b'\n', &mut line)).await??;
    let request = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => request,
        Err(error) => {
            let mut reply = refused(&format!("the request is not understood: {error}"));
            if let Reply::Error { error, .. } = &mut reply {
                error.hint =
                    "this hd may be of another version: `hd down`, then `hd up`".to_owned();
            }
            return write(stream, &reply).await;
        }
    };
    let events = &desk.shared.events;
    match request {
        Request::Attach => return follow(stream, events.lines(), missed_lines).await,
        Request::Events => return follow(stream, events.objects(), missed_objects).await,
        _ => {}
    }
    let only_waits = matches!(request, Request::WaitReady { .. });
    let answer = desk.answer(request);
    // What was asked to be done is done whether or not somebody waits for it.
    let reply = match only_waits {
        false => answer.await,
        true => tokio::select! {
            reply = answer => reply,
            () = gone(stream) => return Ok(()),
        },
    };
    write(stream, &reply).await
}

/// Waits until the client has closed its end. It has said what it wants, so nothing else comes from there.
async fn gone(stream: &mut UnixStream) {
    let mut more = [0; 64];
    while stream.read(&mut more).await.is_ok_and(|read| read > 0) {}
}

/// Passes on what happens; `missed` makes the line about those that went by while the client was slow.
async fn follow(
    stream: &mut UnixStream,
    lines: Option<Receiver<String>>,
    missed: impl Fn(u64) -> String,
) -> io::Result<()> {
    let Some(mut lines) = lines else {
        return write(stream, &refused("this instance tells nothing")).await;
    };
    loop {
        let next = tokio::select! {
            next = lines.recv() => next,
            () = gone(stream) => return Ok(()),
        };
        match next {
            Ok(line) => write(stream, &Reply::Event { line }).await?,
            Err(RecvError::Lagged(count)) => {
                let line = missed(count);
                write(stream, &Reply::Event { line }).await?;
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

fn missed_lines(count: u64) -> String {
    format!("… {count} lines not shown, see `hd logs`")
}

/// The same as an event, for programs.
fn missed_objects(count: u64) -> String {
    let at = timestamp(SystemTime::now());
    json!({"schema": SCHEMA, "event": "missed", "count": count, "at": at}).to_string()
}

async fn write(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

fn refused(message: &str) -> Reply {
    let error = ErrorReport {
        code: "refused".to_owned(),
        message: message.to_owned(),
        ..ErrorReport::default()
    };
    Reply::Error { error, exit: 2 }
}
