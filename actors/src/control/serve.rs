//! One control connection: the peer checked, a request read, replies written.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::broadcast::Receiver;

use super::answer::Desk;
use super::protocol::{REQUEST_MAX, Reply, Request};
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
        Request::Attach => return follow(stream, events.lines()).await,
        Request::Events => return follow(stream, events.objects()).await,
        _ => {}
    }
    let reply = desk.answer(request).await;
    write(stream, &reply).await
}

async fn follow(stream: &mut UnixStream, lines: Option<Receiver<String>>) -> io::Result<()> {
    let Some(mut lines) = lines else {
        return write(stream, &refused("this instance tells nothing")).await;
    };
    loop {
        match lines.recv().await {
            Ok(line) => write(stream, &Reply::Event { line }).await?,
            Err(tokio::sync::broadcast::error::RecvError::Lagged(missed)) => {
                write(
                    stream,
                    &Reply::Event {
                        line: format!("… {missed} lines not shown, see `hd logs`"),
                    },
                )
                .await?;
            }
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
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
