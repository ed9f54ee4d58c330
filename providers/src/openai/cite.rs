//! Sources of chat answers: annotations of the message, and the lists beside the choices that Perplexity has.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::hub::{Citation, Source, line};
use crate::text::Text;

#[derive(Deserialize)]
struct Annotation<'a> {
    #[serde(borrow)]
    url_citation: Option<UrlCitation<'a>>,
}

#[derive(Deserialize)]
struct UrlCitation<'a> {
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    /// `OpenRouter`'s extension.
    #[serde(borrow)]
    content: Option<Text<'a>>,
    start_index: Option<usize>,
    end_index: Option<usize>,
}

/// Reads an annotation; what cites no page of the web is kept as it came.
pub(super) fn annotation(raw: &RawValue) -> Citation {
    let cited = serde_json::from_str::<Annotation<'_>>(raw.get()).ok().and_then(|annotation| annotation.url_citation);
    let raw = line(raw);
    let Some(cited) = cited else { return Citation { raw, ..Citation::default() } };
    Citation {
        source: Source::Url(cited.url.0.into_owned()),
        title: cited.title.map(|title| title.0.into_owned()),
        quote: cited.content.map(|content| content.0.into_owned()),
        span: cited.start_index.zip(cited.end_index).filter(|(start, end)| start < end),
        raw,
    }
}

/// One of Perplexity's sources: in `citations` a URL, in `search_results` an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed<'a> {
    Url(#[serde(borrow)] Text<'a>),
    Result {
        #[serde(borrow)]
        url: Text<'a>,
        #[serde(borrow)]
        title: Option<Text<'a>>,
    },
}

/// Reads a list of sources: the whole answer rests on them.
pub(super) fn listed(raw: &str) -> Vec<Citation> {
    let list = serde_json::from_str::<Vec<&RawValue>>(raw).unwrap_or_default();
    let read = |raw: &&RawValue| {
        let (url, title) = match serde_json::from_str::<Listed<'_>>(raw.get()).ok()? {
            Listed::Url(url) => (url, None),
            Listed::Result { url, title } => (url, title),
        };
        let title = title.map(|title| title.0.into_owned());
        Some(Citation { source: Source::Url(url.0.into_owned()), title, raw: line(raw), ..Citation::default() })
    };
    list.iter().filter_map(read).collect()
}
