//! A request's body on its way to a provider.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use sluice_providers::Body;

/// The body as the HTTP client sends it: `whole`, or its slices one after the other, none of them
/// copied, with the length of all of them declared.
pub(super) fn of(body: Body, whole: bool) -> reqwest::Body {
    if whole || body.whole().is_some() {
        return body.into_bytes().into();
    }
    reqwest::Body::wrap(Slices { left: body.len() as u64, slices: body.slices() })
}

struct Slices<I> {
    slices: I,
    left: u64,
}

impl<I: Iterator<Item = Bytes> + Unpin> http_body::Body for Slices<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let own = self.get_mut();
        let next = own.slices.next();
        own.left -= next.as_ref().map_or(0, |slice| slice.len() as u64);
        Poll::Ready(next.map(|slice| Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn the_slices_are_one_body_of_known_length() {
        let parts = [Bytes::from_static(b"ab"), Bytes::from(vec![b'c'; 100_000]), Bytes::from_static(b"d")];
        let mut sent = of(parts.iter().cloned().collect(), false);
        for (index, part) in parts.iter().enumerate() {
            let left: usize = parts[index..].iter().map(Bytes::len).sum();
            assert_eq!((sent.size_hint().exact(), sent.is_end_stream()), (Some(left as u64), false));
            let frame = sent.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!((frame.as_ptr(), frame.len()), (part.as_ptr(), part.len()), "not a copy");
        }
        assert!(sent.is_end_stream() && sent.frame().await.is_none());
        assert_eq!(of(parts[0].clone().into(), false).as_bytes(), Some(&b"ab"[..]));
        assert_eq!(of(parts.iter().cloned().collect(), true).as_bytes(), Some(&*parts.concat()));
    }
}
