//! A project directory with a store beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hd_store::scan::{
    DirFilter, Filter, PathsReport, ScanReport, Scanned, ScannedKind, scan, scan_paths,
};
use hd_store::{Id, Store};

/// Leaves out `node_modules` directories and every name that an ignore file of its directory has.
pub struct Rules {
    names: Vec<String>,
    fingerprint: Option<Id>,
}
pub struct DirRules(Vec<u8>);

impl Rules {
    pub fn new() -> Rules {
        Rules {
            names: vec![".ignore".into()],
            fingerprint: None,
        }
    }

    /// Rules that say that they are always the same.
    pub fn named() -> Rules {
        Rules {
            fingerprint: Some(Id::of(b"rules")),
            ..Rules::new()
        }
    }
}

impl Filter for Rules {
    fn ignore_file_names(&self) -> &[String] {
        &self.names
    }

    fn fingerprint(&self) -> Option<Id> {
        self.fingerprint
    }

    fn enter(&self, dir: &[u8], ignore_files: &[(String, Vec<u8>)]) -> Box<dyn DirFilter + '_> {
        assert!(
            !dir.ends_with(b"node_modules"),
            "an excluded directory was entered"
        );
        Box::new(DirRules(
            ignore_files
                .iter()
                .flat_map(|(_, bytes)| bytes.clone())
                .collect(),
        ))
    }
}

impl DirFilter for DirRules {
    fn keep(&self, name: &[u8], is_dir: bool) -> bool {
        let ignored = self.0.split(|byte| *byte == b'\n').any(|line| line == name);
        !(ignored || (is_dir && name == b"node_modules"))
    }
}

pub struct Project {
    _dir: tempfile::TempDir,
    pub root: PathBuf,
    pub cache: PathBuf,
    pub store: Store,
}

impl Project {
    pub fn new() -> Project {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("project");
        fs::create_dir(&root).unwrap();
        let store = Store::open(&dir.path().join("cas")).unwrap();
        let cache = dir.path().join("cas/scan/p");
        Project {
            root,
            cache,
            store,
            _dir: dir,
        }
    }

    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn scan(&self) -> ScanReport {
        let mut writer = self.store.writer().unwrap();
        scan(
            &self.store,
            &mut writer,
            &self.root,
            &Rules::new(),
            Some(&self.cache),
        )
        .unwrap()
    }

    /// Scans until the entries are too old to be racy, which takes some 20 ms.
    pub fn settle(&self) -> ScanReport {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let report = self.scan();
            if report.unchanged && report.counts.hashed == 0 && report.counts.listed == 0 {
                return report;
            }
            assert!(
                Instant::now() < deadline,
                "still not settled: {:?}",
                report.counts
            );
        }
    }

    pub fn scan_from_scratch(&self) -> ScanReport {
        let mut writer = self.store.writer().unwrap();
        scan(&self.store, &mut writer, &self.root, &Rules::new(), None).unwrap()
    }

    pub fn paths(&self, paths: &[&str]) -> PathsReport {
        let paths: Vec<Vec<u8>> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        let mut writer = self.store.writer().unwrap();
        let rules = Rules::new();
        let report =
            scan_paths(&self.store, &mut writer, &self.root, &rules, None, &paths).unwrap();
        writer.commit().unwrap();
        report
    }
}

pub fn by_path(entries: &[Scanned]) -> BTreeMap<String, &Scanned> {
    entries
        .iter()
        .map(|e| (String::from_utf8_lossy(&e.path).into_owned(), e))
        .collect()
}

pub fn blob(report: &ScanReport, path: &str) -> Id {
    match by_path(&report.entries)[path].kind {
        ScannedKind::Regular { blob, .. } => blob,
        ref other => panic!("{path} is {other:?}"),
    }
}
