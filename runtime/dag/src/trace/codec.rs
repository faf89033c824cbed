//! A trace as CBOR, paths without what they share with the one before.
//!
//! ```text
//! trace    = version (one byte), [* observed]
//! observed = [shared, suffix, lookup, list]   shared: bytes in common with the path before
//! list     = digest / null
//! lookup   = null / [0] absent / [1, mode, uid, gid, xattrs / null] dir / [2, id] entry
//!          / [3] / [4, mode, uid, gid] / [5, dev, ino, size, mtime, ctime]     on the host
//! ```

use super::{Observed, Seen, Trace};
use crate::cbor::{DecodeError, Decoder, Encoder};
use crate::path::TreePath;

impl Trace {
    /// Encodes the trace; the bytes are an object of kind `Trace`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::versioned();
        out.array(self.observed.len());
        let mut last: &[u8] = &[];
        for (path, observed) in &self.observed {
            let bytes = path.as_bytes();
            let common = last.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            out.array(4);
            out.uint(common as u64);
            out.bytes(&bytes[common..]);
            put_lookup(observed.lookup.as_ref(), &mut out);
            out.id_or_null(observed.list.as_ref());
            last = bytes;
        }
        out.finish()
    }

    /// Decodes a trace; anything [`encode`](Self::encode) would not have written is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Decoder::versioned(bytes)?;
        let mut trace = Self::new();
        let mut last: Option<TreePath> = None;
        for _ in 0..input.array()? {
            input.array_of(4)?;
            let path = take_path(&mut input, last.as_ref())?;
            let lookup = take_lookup(&mut input)?;
            let list = input.id_or_null()?;
            if lookup.is_none() && list.is_none() {
                return Err(input.fail("path without an observation"));
            }
            trace
                .observed
                .insert(path.clone(), Observed { lookup, list });
            last = Some(path);
        }
        input.end()?;
        Ok(trace)
    }
}

fn take_path(input: &mut Decoder<'_>, last: Option<&TreePath>) -> Result<TreePath, DecodeError> {
    let before = last.map_or(&[][..], TreePath::as_bytes);
    let shared = input.uint()?;
    let shared = usize::try_from(shared).ok().and_then(|n| before.get(..n));
    let Some(shared) = shared else {
        return Err(input.fail("path shares more than there is"));
    };
    let suffix = input.bytes()?;
    if before
        .get(shared.len())
        .is_some_and(|next| suffix.first() == Some(next))
    {
        return Err(input.fail("path shares more than it says"));
    }
    let bytes = [shared, suffix].concat();
    let path = TreePath::from_vec(bytes).map_err(|_| input.fail("invalid path"))?;
    if last.is_some_and(|last| *last >= path) {
        return Err(input.fail("paths out of order"));
    }
    Ok(path)
}

fn put_lookup(seen: Option<&Seen>, out: &mut Encoder) {
    let numbers: &[u64] = match seen {
        None => return out.id_or_null(None),
        Some(Seen::Absent) => &[0],
        Some(Seen::Dir {
            mode,
            uid,
            gid,
            xattrs,
        }) => {
            put_numbers(5, &[1, (*mode).into(), (*uid).into(), (*gid).into()], out);
            return out.id_or_null(xattrs.as_ref());
        }
        Some(Seen::Entry { id }) => {
            put_numbers(2, &[2], out);
            return out.id(id);
        }
        Some(Seen::HostAbsent) => &[3],
        Some(Seen::HostDir { mode, uid, gid }) => {
            &[4, (*mode).into(), (*uid).into(), (*gid).into()]
        }
        Some(Seen::HostFile {
            dev,
            ino,
            size,
            mtime_ns,
            ctime_ns,
        }) => {
            put_numbers(6, &[5, *dev, *ino, *size], out);
            out.int(*mtime_ns);
            return out.int(*ctime_ns);
        }
    };
    put_numbers(numbers.len(), numbers, out);
}

/// Writes the head of an array of `length` items and the first of them.
fn put_numbers(length: usize, numbers: &[u64], out: &mut Encoder) {
    out.array(length);
    for number in numbers {
        out.uint(*number);
    }
}

fn take_lookup(input: &mut Decoder<'_>) -> Result<Option<Seen>, DecodeError> {
    let Some(length) = input.array_or_null()? else {
        return Ok(None);
    };
    let seen = match (input.uint()?, length) {
        (0, 1) => Seen::Absent,
        (1, 5) => Seen::Dir {
            mode: input.uint32()?,
            uid: input.uint32()?,
            gid: input.uint32()?,
            xattrs: input.id_or_null()?,
        },
        (2, 2) => Seen::Entry { id: input.id()? },
        (3, 1) => Seen::HostAbsent,
        (4, 4) => Seen::HostDir {
            mode: input.uint32()?,
            uid: input.uint32()?,
            gid: input.uint32()?,
        },
        (5, 6) => Seen::HostFile {
            dev: input.uint()?,
            ino: input.uint()?,
            size: input.uint()?,
            mtime_ns: input.int()?,
            ctime_ns: input.int()?,
        },
        _ => return Err(input.fail("unknown observation")),
    };
    Ok(Some(seen))
}
