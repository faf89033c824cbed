use hd_dag::*;
use hd_store::Id;
use std::time::Instant;
fn main() {
    let trees = MemoryTrees::new();
    let t = Instant::now();
    let f = |n: u64| Entry::regular(Meta::new(0o644), Id::of(&n.to_le_bytes()), n);
    let ents: Vec<_> = (0..100_000u64)
        .map(|n| {
            (
                TreePath::new(
                    format!("p{:03}/d{:02}/f{n:06}.rs", n / 1000, n / 10 % 100).as_bytes(),
                )
                .unwrap(),
                f(n),
                n as i64,
            )
        })
        .collect();
    let mut ents = ents;
    ents.sort_by(|a, b| a.0.cmp(&b.0));
    println!("gen {:?}", t.elapsed());
    let t = Instant::now();
    let root = build(&trees, ents.clone()).unwrap();
    println!(
        "build 100k in 10k dirs {:?} nodes {}",
        t.elapsed(),
        trees.len()
    );
    let t = Instant::now();
    let flat = build(
        &trees,
        ents.iter()
            .map(|(p, e, m)| (TreePath::new(&p.as_bytes()[9..]).unwrap(), e.clone(), *m)),
    )
    .map_err(|e| println!("{e}"));
    println!("flat {:?} {:?}", t.elapsed(), flat.is_ok());
    let t = Instant::now();
    let n = walk(&trees, &root).unwrap().count();
    println!("walk {n} {:?}", t.elapsed());
    let t = Instant::now();
    for i in 0..1000u64 {
        let e = Edit::Put {
            path: ents[(i * 97) as usize].0.clone(),
            entry: f(i + 1_000_000),
            mtime_ns: 1,
        };
        apply(&trees, &root, [e]).unwrap();
    }
    println!("apply one edit, no decoded cache: {:?}", t.elapsed() / 1000);
    if let Ok(flat) = flat {
        let t = Instant::now();
        for i in 0..1000u64 {
            let p = TreePath::new(&ents[(i * 97) as usize].0.as_bytes()[9..]).unwrap();
            let e = Edit::Put {
                path: p,
                entry: f(i + 1_000_000),
                mtime_ns: 1,
            };
            apply(&trees, &flat, [e]).unwrap();
        }
        println!("apply one edit flat 100k: {:?}", t.elapsed() / 1000);
    }
    let t = Instant::now();
    let edits: Vec<_> = (0..20_000usize)
        .map(|i| Edit::Put {
            path: ents[i * 5].0.clone(),
            entry: f(i as u64 + 9_000_000),
            mtime_ns: 1,
        })
        .collect();
    let (r2, d) = apply(&trees, &root, edits).unwrap();
    println!("apply 20k edits {:?} {}", t.elapsed(), d.changes.len());
    let t = Instant::now();
    println!(
        "diff {} {:?}",
        diff(&trees, &root.tree, &r2.tree).unwrap().len(),
        t.elapsed()
    );
    let t = Instant::now();
    let c = compose(&trees, &root, &r2).unwrap();
    println!("compose overlapping {:?} {}", t.elapsed(), c == r2);
    let mut tr = trace::Trace::new();
    let w = trace::TreeWorld::new(&trees, root.tree);
    for i in 0..2000usize {
        let p = &ents[i * 50].0;
        for a in [p.clone(), p.parent().unwrap()] {
            let s = trace::World::lookup(&w, &a).unwrap();
            tr.record(a, trace::Observation::Lookup(s));
        }
    }
    let t = Instant::now();
    println!("{:?}", trace::check(&tr, &w).unwrap().is_valid());
    println!("check {} obs no decoded cache {:?}", tr.len(), t.elapsed());
    let b = tr.encode();
    let t = Instant::now();
    let x = trace::Trace::decode(&b).unwrap();
    println!(
        "decode trace {} bytes {:?} {}",
        b.len(),
        t.elapsed(),
        x.len()
    );
    let t = Instant::now();
    println!(
        "{:?} {:?}",
        trace::touched_by(&tr, &d.changes).is_some(),
        t.elapsed()
    );
    let cache = NodeCache::new(std::sync::Arc::new(trees), 64 << 20);
    let t = Instant::now();
    let dir = cache.directory(&root.tree).unwrap();
    println!("dir {} {:?}", dir.len(), t.elapsed());
    let t = Instant::now();
    for _ in 0..100000 {
        std::hint::black_box(cache.directory(&root.tree).unwrap().get(b"p050"));
    }
    println!("cached get {:?}", t.elapsed() / 100000);
}
