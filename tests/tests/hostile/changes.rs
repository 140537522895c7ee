//! Changes that no node writes, from their bytes up.

use bytes::Bytes;
use sha2::{Digest, Sha256};

const MAGIC: [u8; 4] = [0x85, 0x6F, 0x4A, 0x83];
const CHANGE: u8 = 1;

/// A change as its bytes have it.
pub struct Raw {
    pub kind: u8,
    pub dependencies: Vec<[u8; 32]>,
    pub actor: Vec<u8>,
    pub seq: u64,
    pub first_operation: u64,
    pub columns: Vec<(u64, Vec<u8>)>,
    pub intact: bool,
}

impl Raw {
    /// An empty change, the first of an actor.
    pub fn of(actor: [u8; 16]) -> Self {
        Self {
            kind: CHANGE,
            dependencies: Vec::new(),
            actor: actor.to_vec(),
            seq: 1,
            first_operation: 1,
            columns: Vec::new(),
            intact: true,
        }
    }

    /// With runs of so many operations: 90 bytes.
    pub fn with_operations(self, count: i64) -> Self {
        let columns = vec![
            (21, run(count, &[1, b'a'])),
            (66, run(count, &[1])),
            (86, run(count, &[0])),
            (112, run(count, &[0])),
        ];
        Self { columns, ..self }
    }

    pub fn bytes(&self) -> Bytes {
        let mut body = Vec::new();
        unsigned(&mut body, self.dependencies.len() as u64);
        body.extend(self.dependencies.iter().flatten());
        unsigned(&mut body, self.actor.len() as u64);
        body.extend(&self.actor);
        unsigned(&mut body, self.seq);
        unsigned(&mut body, self.first_operation);
        // Time, message, other actors.
        body.extend([0, 0, 0]);
        unsigned(&mut body, self.columns.len() as u64);
        for (column, content) in &self.columns {
            unsigned(&mut body, *column);
            unsigned(&mut body, content.len() as u64);
        }
        body.extend(self.columns.iter().flat_map(|(_, content)| content));
        chunk(self.kind, &body, self.intact)
    }
}

/// A chunk of Automerge's format.
pub fn chunk(kind: u8, body: &[u8], intact: bool) -> Bytes {
    let mut hashed = vec![kind];
    unsigned(&mut hashed, body.len() as u64);
    hashed.extend(body);
    let sum: [u8; 32] = Sha256::digest(&hashed).into();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(if intact { &sum[..4] } else { &[0; 4] });
    bytes.extend(hashed);
    bytes.into()
}

fn run(length: i64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    signed(&mut out, length);
    out.extend(value);
    out
}

fn unsigned(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7F).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

fn signed(out: &mut Vec<u8>, mut number: i64) {
    loop {
        let byte = u8::try_from(number & 0x7F).unwrap_or(0);
        number >>= 7;
        if (number == 0 && byte & 0x40 == 0) || (number == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}
