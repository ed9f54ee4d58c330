//! Sources in the clients' formats: `url_citation` in OpenAI's, citations of text blocks in Anthropic's. What has no
//! form in OpenAI's goes as the provider said it, in `citations`.

use serde_json::{Map, Value, json};

use crate::hub::{Citation, Source, Unit};

/// An annotation of a response's text, with places relative to a part that begins at `base`; `None` if the source
/// is not a page of the web.
pub(super) fn annotation(citation: &Citation, span: (usize, usize), base: usize) -> Option<Value> {
    let mut fields = url_citation(citation, span, base)?;
    fields.insert("type".to_owned(), "url_citation".into());
    Some(fields.into())
}

/// The same in a chat completion, where the fields are wrapped.
pub(super) fn chat_annotation(citation: &Citation, span: (usize, usize)) -> Option<Value> {
    let fields = url_citation(citation, span, 0)?;
    Some(json!({"type": "url_citation", "url_citation": fields}))
}

fn url_citation(citation: &Citation, (start, end): (usize, usize), base: usize) -> Option<Map<String, Value>> {
    let url = citation.url()?;
    let mut fields = Map::new();
    fields.insert("url".to_owned(), url.into());
    fields.insert("title".to_owned(), citation.title.as_deref().unwrap_or_default().into());
    fields.insert("start_index".to_owned(), start.saturating_sub(base).into());
    fields.insert("end_index".to_owned(), end.saturating_sub(base).into());
    // OpenRouter's extension.
    fields.extend(citation.quote.as_deref().map(|quote| ("content".to_owned(), quote.into())));
    Some(fields)
}

/// The provider's own words.
pub(super) fn raw(citation: &Citation) -> Option<Value> {
    serde_json::from_str(&citation.raw).ok()
}

/// A citation of a text block; `None` if Anthropic's API has no place for the source.
pub(super) fn of_block(citation: &Citation) -> Option<Value> {
    let (title, quote) = (citation.title.as_deref(), citation.quote.as_deref().unwrap_or_default());
    Some(match &citation.source {
        // `encrypted_index` is what only Anthropic's own search has.
        Source::Url(url) => json!({"type": "web_search_result_location", "cited_text": quote, "url": url,
            "title": title, "encrypted_index": ""}),
        Source::Document { index, unit, start, end } => {
            let (kind, unit) = match unit {
                Unit::Char => ("char_location", "char_index"),
                Unit::Page => ("page_location", "page_number"),
                Unit::Block => ("content_block_location", "block_index"),
            };
            json!({"type": kind, "cited_text": quote, "document_index": index, "document_title": title,
                "file_id": null, format!("start_{unit}"): start, format!("end_{unit}"): end})
        }
        Source::Result { index, name, start, end } => json!({"type": "search_result_location", "cited_text": quote,
            "search_result_index": index, "source": name, "title": title, "start_block_index": start,
            "end_block_index": end}),
        Source::Other => return None,
    })
}
