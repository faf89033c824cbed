//! Nodes of a map as CBOR.
//!
//! ```text
//! node  = version (one byte), [level, items]
//! items = [* item] at level 0, else [+ [last, id, count]] with a fourth `1` when marked
//! ```

use super::{Child, MAX_LEVEL, Node, Value};
use crate::cbor::{DecodeError, Decoder, Encoder};
use crate::entry_codec::take_name;
use crate::name::Name;

impl<V: Value> Node<V> {
    /// Encodes the node: the bytes its id is derived from.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::versioned();
        out.array(2);
        out.uint(self.level());
        match self {
            Self::Leaf(items) => {
                out.array(items.len());
                for (name, value) in items {
                    V::put(name, value, &mut out);
                }
            }
            Self::Index { children, .. } => {
                out.array(children.len());
                for child in children {
                    put_child(child, &mut out);
                }
            }
        }
        out.finish()
    }

    /// Decodes a node; anything [`encode`](Self::encode) would not have written is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Decoder::versioned(bytes)?;
        input.array_of(2)?;
        let level = input.uint()?;
        let node = match level {
            0 => Self::Leaf(sorted(&mut input, V::take, |(name, _)| name)?),
            1..=MAX_LEVEL => {
                let children = sorted(&mut input, take_child, |child| &child.last)?;
                if children.is_empty() {
                    return Err(input.fail("index node without children"));
                }
                Self::Index { level, children }
            }
            _ => return Err(input.fail("level of an index node beyond the highest")),
        };
        input.end()?;
        Ok(node)
    }
}

fn put_child(child: &Child, out: &mut Encoder) {
    out.array(3 + usize::from(child.marked));
    out.bytes(child.last.as_bytes());
    out.id(&child.id);
    out.uint(child.count);
    if child.marked {
        out.uint(1);
    }
}

fn take_child(input: &mut Decoder<'_>) -> Result<Child, DecodeError> {
    let length = input.array()?;
    let last = take_name(input)?;
    let id = input.id()?;
    let count = input.uint()?;
    let marked = match length {
        3 => false,
        4 if input.uint()? == 1 => true,
        _ => return Err(input.fail("malformed child of an index node")),
    };
    Ok(Child {
        last,
        id,
        count,
        marked,
    })
}

fn sorted<T>(
    input: &mut Decoder<'_>,
    take: impl Fn(&mut Decoder<'_>) -> Result<T, DecodeError>,
    name: impl Fn(&T) -> &Name,
) -> Result<Vec<T>, DecodeError> {
    let length = input.array()?;
    let mut items: Vec<T> = Vec::new();
    for _ in 0..length {
        let item = take(input)?;
        if items.last().is_some_and(|last| name(last) >= name(&item)) {
            return Err(input.fail("names out of order"));
        }
        items.push(item);
    }
    Ok(items)
}
