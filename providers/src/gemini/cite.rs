//! Grounding and citations. Gemini counts places in bytes of the text; the hub in characters.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{WireCandidate, WireSegment};
use crate::hub::{Citation, Source, line};
use crate::text::{Text, str_of};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow, alias = "retrievedContext", alias = "maps")]
    web: Option<Page<'a>>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    /// The passage of a document that was retrieved.
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

/// Text that was made up after text of others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recited<'a> {
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    start_index: Option<usize>,
    end_index: Option<usize>,
}

fn owned(text: Option<Text<'_>>) -> Option<String> {
    text.map(|text| text.0.into_owned())
}

fn url(uri: Option<Text<'_>>) -> Source {
    owned(uri).map_or(Source::Other, Source::Url)
}

fn chunk(raw: &RawValue) -> Citation {
    let page = serde_json::from_str::<Chunk<'_>>(raw.get()).ok().and_then(|chunk| chunk.web);
    let raw = line(raw);
    let Some(page) = page else { return Citation { raw, ..Citation::default() } };
    Citation { source: url(page.uri), title: owned(page.title), quote: owned(page.text), span: None, raw }
}

/// All that a candidate cites, of the text said so far.
pub(super) fn read(candidate: &WireCandidate<'_>, said: &str) -> Vec<Citation> {
    let mut all = Vec::new();
    if let Some(grounding) = &candidate.grounding_metadata {
        let chunks: Vec<Citation> = grounding.grounding_chunks.iter().flatten().map(|raw| chunk(raw)).collect();
        let mut used = vec![false; chunks.len()];
        for support in grounding.grounding_supports.iter().flatten() {
            let span = support.segment.as_ref().and_then(|segment| place(segment, said));
            for at in support.grounding_chunk_indices.iter().flatten().copied() {
                let (Some(cited), Some(used)) = (chunks.get(at), used.get_mut(at)) else { continue };
                *used = true;
                all.push(Citation { span, ..cited.clone() });
            }
        }
        all.extend(chunks.into_iter().zip(used).filter(|(_, used)| !used).map(|(cited, _)| cited));
    }
    for raw in candidate.citation_metadata.iter().filter_map(|found| found.citations.as_ref()).flatten() {
        let recited = serde_json::from_str::<Recited<'_>>(raw.get()).ok();
        let raw = line(raw);
        all.push(match recited {
            None => Citation { raw, ..Citation::default() },
            Some(recited) => {
                let span = recited.end_index.and_then(|end| characters(said, recited.start_index.unwrap_or(0), end));
                Citation { source: url(recited.uri), title: owned(recited.title), quote: None, span, raw }
            }
        });
    }
    all
}

/// Where a segment stands: by its bytes if its words are there, else by its words. Parts are counted apart, and
/// streams cut them anew, so that bytes may be those of another part.
fn place(segment: &WireSegment<'_>, said: &str) -> Option<(usize, usize)> {
    let words = str_of(segment.text.as_ref());
    let (start, end) = (segment.start_index.unwrap_or(0), segment.end_index.unwrap_or(0));
    if said.get(start..end).is_some_and(|found| words.is_empty() || found == words) && start < end {
        return characters(said, start, end);
    }
    let start = said.find(words).filter(|_| !words.is_empty())?;
    characters(said, start, start + words.len())
}

/// A range of bytes in characters.
fn characters(said: &str, start: usize, end: usize) -> Option<(usize, usize)> {
    let (before, within) = (said.get(..start)?, said.get(start..end)?);
    let start = before.chars().count();
    Some((start, start + within.chars().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_bytes_become_places_in_characters() {
        let said = "Zürich lies in Zürich.";
        let segment = |start, end, text: &'static str| WireSegment {
            start_index: start,
            end_index: end,
            text: Some(Text(text.into())),
        };
        assert_eq!(place(&segment(None, Some(7), "Zürich"), said), Some((0, 6)));
        assert_eq!(place(&segment(Some(16), Some(23), "Zürich"), said), Some((15, 21)));
        assert_eq!(place(&segment(Some(2), Some(9), "lies in"), said), Some((7, 14)), "found by its words");
        assert_eq!(place(&segment(Some(2), Some(99), "Bern"), said), None);
        assert_eq!(characters(said, 1, 2), None, "half a letter is none");
    }
}
