//! The citations of Converse: where in a document, a search result or the web.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::hub::{Citation, Source, Unit, line};
use crate::text::{Text, str_of};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(borrow)]
    source_content: Option<Vec<Content<'a>>>,
    #[serde(borrow)]
    location: Option<Location<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

/// One of these is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    #[serde(borrow)]
    web: Option<Web<'a>>,
    document_char: Option<Place>,
    document_page: Option<Place>,
    document_chunk: Option<Place>,
    #[serde(rename = "searchResultLocation")]
    search_result: Option<Place>,
}

#[derive(Deserialize)]
struct Web<'a> {
    #[serde(borrow)]
    url: Option<Text<'a>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    document_index: Option<u64>,
    search_result_index: Option<u64>,
    start: Option<u64>,
    end: Option<u64>,
}

impl Place {
    fn of(self, unit: Unit) -> Source {
        let (start, end) = (self.start.unwrap_or(0), self.end.unwrap_or(0));
        Source::Document { index: self.document_index.unwrap_or(0), unit, start, end }
    }
}

fn source(location: &Location<'_>, name: &str) -> Source {
    if let Some(url) = location.web.as_ref().and_then(|web| web.url.as_ref()) {
        return Source::Url(url.as_str().to_owned());
    }
    let documents = [
        (location.document_char, Unit::Char),
        (location.document_page, Unit::Page),
        (location.document_chunk, Unit::Block),
    ];
    if let Some((place, unit)) = documents.into_iter().find_map(|(place, unit)| Some((place?, unit))) {
        return place.of(unit);
    }
    location.search_result.map_or(Source::Other, |place| Source::Result {
        index: place.search_result_index.unwrap_or(0),
        name: name.to_owned(),
        start: place.start.unwrap_or(0),
        end: place.end.unwrap_or(0),
    })
}

/// Reads one; what is of a kind that is not known is kept as it came.
pub(super) fn read(raw: &RawValue) -> Citation {
    let known = serde_json::from_str::<Wire<'_>>(raw.get()).ok();
    let raw = line(raw);
    let Some(wire) = known else { return Citation { raw, ..Citation::default() } };
    let source =
        wire.location.as_ref().map_or(Source::Other, |location| source(location, str_of(wire.source.as_ref())));
    let quote = wire.source_content.map(|parts| parts.iter().map(|part| str_of(part.text.as_ref())).collect());
    Citation { source, title: wire.title.map(|title| title.0.into_owned()), quote, span: None, raw }
}
