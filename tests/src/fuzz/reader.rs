//! Bytes as a list of things to do.

/// What is left of the bytes.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Two bytes, the lower one first.
    pub fn short(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes([self.byte()?, self.byte()?]))
    }

    /// A run with its length before it, or what there is of it.
    pub fn run(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.short()?).min(self.0.len());
        let (run, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(run)
    }
}

/// A run as it is read.
pub(super) fn put_run(into: &mut Vec<u8>, run: &[u8]) {
    let length = u16::try_from(run.len()).expect("a sample is short");
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(run);
}
