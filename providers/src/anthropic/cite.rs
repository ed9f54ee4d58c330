//! The citations of text blocks.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::hub::{Citation, Source, Unit, line};
use crate::text::{Text, str_of};

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    cited_text: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    document_title: Option<Text<'a>>,
    #[serde(borrow)]
    source: Option<Text<'a>>,
    document_index: Option<u64>,
    search_result_index: Option<u64>,
    start_char_index: Option<u64>,
    end_char_index: Option<u64>,
    start_page_number: Option<u64>,
    end_page_number: Option<u64>,
    start_block_index: Option<u64>,
    end_block_index: Option<u64>,
}

/// Reads one; what is of a kind that is not known is kept as it came.
pub(super) fn read(raw: &RawValue) -> Citation {
    let known = serde_json::from_str::<Wire<'_>>(raw.get()).ok();
    let raw = line(raw);
    let Some(wire) = known else { return Citation { raw, ..Citation::default() } };
    let document = |unit: Unit, start: Option<u64>, end: Option<u64>| Source::Document {
        index: wire.document_index.unwrap_or(0),
        unit,
        start: start.unwrap_or(0),
        end: end.unwrap_or(0),
    };
    let source = match (str_of(wire.r#type.as_ref()), &wire.url) {
        (_, Some(url)) => Source::Url(url.as_str().to_owned()),
        ("char_location", None) => document(Unit::Char, wire.start_char_index, wire.end_char_index),
        ("page_location", None) => document(Unit::Page, wire.start_page_number, wire.end_page_number),
        ("content_block_location", None) => document(Unit::Block, wire.start_block_index, wire.end_block_index),
        ("search_result_location", None) => Source::Result {
            index: wire.search_result_index.unwrap_or(0),
            name: str_of(wire.source.as_ref()).to_owned(),
            start: wire.start_block_index.unwrap_or(0),
            end: wire.end_block_index.unwrap_or(0),
        },
        _ => Source::Other,
    };
    let owned = |text: Option<Text<'_>>| text.map(|text| text.0.into_owned());
    Citation {
        source,
        title: owned(wire.title.or(wire.document_title)),
        quote: owned(wire.cited_text),
        span: None,
        raw,
    }
}
