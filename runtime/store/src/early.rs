//! Signatures published before their bodies.
#![allow(missing_docs, missing_debug_implementations)]
use crate::*;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Store(());
#[derive(Debug)]
pub struct Writer(());
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry { pub payload: Vec<u8>, pub at_unix_ms: u64 }
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RefRecord { pub links: Vec<Link>, pub project: String, pub at_unix_ms: u64 }
#[derive(Debug, Clone)]
pub struct GcOptions { pub wait: bool, pub dry_run: bool, pub now_unix_ms: u64, pub history_per_key: usize, pub history_max_age: Option<Duration> }
#[derive(Debug, Clone, Default)]
pub struct GcReport { pub roots: u64, pub live_objects: u64, pub live_bytes: u64, pub freed_bytes: u64, pub segments_removed: u64, pub segments_rewritten: u64, pub history_dropped: u64, pub missing: Vec<Id> }
pub struct VerifyOptions<'a> { pub read_data: bool, pub links: Option<&'a dyn Links> }
#[derive(Debug, Clone)]
pub struct Damage { pub id: Option<Id>, pub segment: String, pub offset: u64, pub reason: String, pub reached_by: Vec<String>, pub has_good_copy: bool }
#[derive(Debug, Clone, Default)]
pub struct VerifyReport { pub damages: Vec<Damage>, pub records: u64, pub objects: u64, pub bytes: u64 }
#[derive(Debug, Clone, Default)]
pub struct Stats { pub segments: u64, pub chunks: u64, pub blobs: u64, pub nodes: u64, pub history: u64, pub refs: u64, pub raw_bytes: u64, pub stored_bytes: u64, pub file_bytes: u64, pub live_bytes: Option<u64> }
#[derive(Debug, Clone)]
pub struct Ingested { pub id: Id, pub size: u64, pub stable: bool }

impl Store {
    pub fn open(_: &Path) -> Result<Store> { Err(Error::WorkerLost) }
    pub fn writer(&self) -> Result<Writer> { Err(Error::WorkerLost) }
    pub fn contains(&self, _: &Id) -> Result<bool> { Err(Error::WorkerLost) }
    pub fn blob_len(&self, _: &Id) -> Result<Option<u64>> { Err(Error::WorkerLost) }
    pub fn read_blob(&self, _: &Id) -> Result<Vec<u8>> { Err(Error::WorkerLost) }
    pub fn read_blob_at(&self, _: &Id, _offset: u64, _len: usize) -> Result<Vec<u8>> { Err(Error::WorkerLost) }
    pub fn read_node(&self, _: NodeKind, _: &Id) -> Result<Vec<u8>> { Err(Error::WorkerLost) }
    pub fn history(&self, _key: &Id) -> Result<Vec<HistoryEntry>> { Err(Error::WorkerLost) }
    pub fn put_ref(&self, _: &str, _: &RefRecord) -> Result<()> { Err(Error::WorkerLost) }
    pub fn drop_ref(&self, _: &str) -> Result<()> { Err(Error::WorkerLost) }
    pub fn refs(&self) -> Result<Vec<(String, RefRecord)>> { Err(Error::WorkerLost) }
    pub fn gc(&self, _: &dyn Links, _: &GcOptions) -> Result<GcReport> { Err(Error::WorkerLost) }
    pub fn verify(&self, _: &VerifyOptions<'_>) -> Result<VerifyReport> { Err(Error::WorkerLost) }
    pub fn stats(&self) -> Result<Stats> { Err(Error::WorkerLost) }
}
impl Writer {
    pub fn put_blob(&mut self, _: &[u8]) -> Result<Id> { Err(Error::WorkerLost) }
    pub fn put_blob_from(&mut self, _: &mut dyn Read) -> Result<(Id, u64)> { Err(Error::WorkerLost) }
    pub fn put_node(&mut self, _: NodeKind, _: &[u8]) -> Result<Id> { Err(Error::WorkerLost) }
    pub fn append_history(&mut self, _key: &Id, _payload: &[u8]) -> Result<()> { Err(Error::WorkerLost) }
    /// Reads a node that this writer may not have committed yet.
    pub fn read_node(&mut self, _: NodeKind, _: &Id) -> Result<Vec<u8>> { Err(Error::WorkerLost) }
    /// Says whether an id is stored, or pending in this writer.
    pub fn contains(&self, _: &Id) -> Result<bool> { Err(Error::WorkerLost) }
    pub fn commit(&mut self) -> Result<()> { Err(Error::WorkerLost) }
}
/// Stores many files in parallel; `sink` is called on the calling thread.
pub fn ingest_files<T, O>(_store: &Store, _writer: &mut Writer, _files: impl Iterator<Item = (T, O)> + Send, _sink: &mut dyn FnMut(T, std::result::Result<Ingested, std::io::Error>)) -> Result<()>
where T: Send, O: FnOnce() -> std::io::Result<OwnedFd> + Send { Err(Error::WorkerLost) }
