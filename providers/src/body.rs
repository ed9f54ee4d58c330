//! The body of a request to a provider: slices that are sent one after the other, so that the client's
//! own bytes need not be copied to have another model's name among them.

use bytes::{Bytes, BytesMut};

/// Bytes in one or more slices. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Body {
    first: Bytes,
    /// Not empty, nor is any of it, only if `first` is not.
    rest: Vec<Bytes>,
}

impl Body {
    /// Length of all slices, bytes.
    pub fn len(&self) -> usize {
        self.first.len() + self.rest.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether there is no byte in it.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Adds a slice at the end.
    pub fn push(&mut self, slice: Bytes) {
        if slice.is_empty() {
            return;
        }
        if self.first.is_empty() {
            self.first = slice;
        } else {
            self.rest.push(slice);
        }
    }

    /// All of it, if it is in one slice.
    pub fn whole(&self) -> Option<&Bytes> {
        self.rest.is_empty().then_some(&self.first)
    }

    /// The slices in their order; none is empty.
    pub fn slices(self) -> impl Iterator<Item = Bytes> + Send + Sync + Unpin + 'static {
        (!self.first.is_empty()).then_some(self.first).into_iter().chain(self.rest)
    }

    /// All of it in one slice: a copy if there are more.
    pub fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut joined = BytesMut::with_capacity(self.len());
        self.slices().for_each(|slice| joined.extend_from_slice(&slice));
        joined.freeze()
    }
}

impl From<Bytes> for Body {
    fn from(first: Bytes) -> Self {
        Self { first, rest: Vec::new() }
    }
}

impl FromIterator<Bytes> for Body {
    fn from_iter<I: IntoIterator<Item = Bytes>>(slices: I) -> Self {
        let mut body = Self::default();
        slices.into_iter().for_each(|slice| body.push(slice));
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_one_body() {
        let part = Bytes::from_static;
        for slices in [&[&b""[..]][..], &[b"", b"ab"], &[b"ab", b"", b"cde"], &[b"a", b"b", b"c"]] {
            let whole = slices.concat();
            let body: Body = slices.iter().map(|slice| part(slice)).collect();
            assert_eq!((body.len(), body.is_empty()), (whole.len(), whole.is_empty()));
            assert!(body.clone().slices().all(|slice| !slice.is_empty()));
            assert_eq!(body.clone().slices().collect::<Vec<_>>().concat(), whole);
            assert_eq!(body.whole().is_some(), body.clone().slices().count() < 2);
            assert_eq!(body.into_bytes(), whole);
        }
    }
}
