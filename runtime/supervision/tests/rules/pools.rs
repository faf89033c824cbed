//! E4, E6: blocking work on threads that survive it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use hd_supervision::testkit::until;
use hd_supervision::{JobError, Pool, Runtime, block_on};
use tokio::time::Instant;

use crate::support::SECOND;

#[test]
fn e4_panicking_jobs_are_reported_and_cost_no_thread() {
    block_on(async {
        let pool = Pool::new("workers", 2, 4).unwrap();
        for round in 0..20 {
            let failed = pool
                .run(move || assert!(round > 99, "job {round} fell"))
                .await;
            let Err(JobError::JobPanicked { message }) = failed else {
                panic!("not reported: {failed:?}");
            };
            assert!(
                message.starts_with(&format!("job {round} fell (at ")),
                "{message}"
            );
            assert_eq!(pool.run(move || round * 2).await, Ok(round * 2));
        }
        let names = pool
            .run(|| std::thread::current().name().map(str::to_owned))
            .await
            .unwrap();
        assert!(names.is_some_and(|name| name.starts_with("workers-")));
        assert!(pool.close(Instant::now() + 5 * SECOND).await);
    })
    .unwrap();
}

#[test]
fn queue_is_bounded_and_waiting_jobs_run_before_the_pool_closes() {
    block_on(async {
        let runtime = Runtime::new();
        let pool = runtime.pool("workers", 1, 2).unwrap();
        let (release, gate) = mpsc::channel::<()>();
        let (started, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let runs: Vec<_> = (0..6)
            .map(|_| {
                let (pool, gate) = (pool.clone(), Arc::clone(&gate));
                let (started, done) = (Arc::clone(&started), Arc::clone(&done));
                tokio::task::spawn_local(async move {
                    let job = move || {
                        started.fetch_add(1, Ordering::SeqCst);
                        let _ = gate.lock().unwrap().recv();
                        done.fetch_add(1, Ordering::SeqCst);
                    };
                    pool.run(job).await
                })
            })
            .collect();
        until("the first job runs", || started.load(Ordering::SeqCst) == 1).await;
        // Let the others take the places that are left.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        drop(release);
        assert!(runtime.close(5 * SECOND).await.is_empty());
        let mut results = Vec::new();
        for run in runs {
            results.push(run.await.unwrap());
        }
        let ran = results.iter().filter(|result| result.is_ok()).count();
        let closed = JobError::Closed {
            pool: "workers".into(),
        };
        assert!(
            results
                .iter()
                .all(|result| result.is_ok() || *result == Err(closed.clone()))
        );
        assert!(
            (3..=4).contains(&ran),
            "one at work, two waiting, the rest refused: {results:?}"
        );
        assert_eq!(
            done.load(Ordering::SeqCst),
            ran,
            "what was accepted was done"
        );
        assert_eq!(pool.run(|| ()).await, Err(closed));
    })
    .unwrap();
}

#[test]
fn job_nobody_waits_for_any_more_is_skipped() {
    block_on(async {
        let pool = Pool::new("workers", 1, 4).unwrap();
        let (release, gate) = mpsc::channel::<()>();
        let first = tokio::task::spawn_local({
            let pool = pool.clone();
            async move { pool.run(move || gate.recv().is_ok()).await }
        });
        let ran = Arc::new(AtomicUsize::new(0));
        let second = tokio::task::spawn_local({
            let (pool, ran) = (pool.clone(), Arc::clone(&ran));
            async move { pool.run(move || ran.fetch_add(1, Ordering::SeqCst)).await }
        });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        drop(release);
        first.await.unwrap().unwrap();
        assert!(pool.close(Instant::now() + 5 * SECOND).await);
        assert_eq!(ran.load(Ordering::SeqCst), 0);
    })
    .unwrap();
}

#[test]
fn stuck_job_does_not_hold_up_the_end() {
    block_on(async {
        let runtime = Runtime::new();
        let pool = runtime.pool("stuck", 1, 1).unwrap();
        let (release, gate) = mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let stuck = tokio::task::spawn_local({
            let pool = pool.clone();
            let job = move || {
                begun.send(()).unwrap();
                gate.recv().is_ok()
            };
            async move { pool.run(job).await }
        });
        begins.await.unwrap();
        let behind = || {
            let pool = pool.clone();
            tokio::task::spawn_local(async move { pool.run(|| true).await })
        };
        let (queued, waiting) = (behind(), behind());
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(runtime.close(SECOND / 100).await.pools, ["stuck"]);
        let closed = JobError::Closed {
            pool: "stuck".into(),
        };
        assert_eq!(waiting.await.unwrap(), Err(closed), "told at once");
        drop(release);
        assert_eq!(
            stuck.await.unwrap(),
            Ok(false),
            "left to itself, it still answers"
        );
        assert_eq!(queued.await.unwrap(), Ok(true));
    })
    .unwrap();
}
