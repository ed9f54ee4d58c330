//! Where a passage of an answer comes from.

/// One source of one passage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citation {
    /// What is cited.
    pub source: Source,
    /// Its title.
    pub title: Option<String>,
    /// The words of the source that the passage rests on.
    pub quote: Option<String>,
    /// The passage, as characters (not bytes) of all the text of the alternative: first, and one behind the last.
    /// `None` is all the text before the citation.
    pub span: Option<(usize, usize)>,
    /// The provider's own words: a JSON object, on one line.
    pub raw: String,
}

/// What is cited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// A page of the web.
    Url(String),
    /// A part of a document that the client sent.
    Document {
        /// Counts the documents of the request from 0.
        index: u64,
        /// What `start` and `end` count.
        unit: Unit,
        /// Where the part begins; pages count from 1, all else from 0.
        start: u64,
        /// Where it ends, exclusive.
        end: u64,
    },
    /// A search result that the client sent.
    Result {
        /// Counts the search results of the request from 0.
        index: u64,
        /// What the client called it.
        name: String,
        /// Its first block.
        start: u64,
        /// One behind its last block.
        end: u64,
    },
    /// What has no place in any client's API but as the provider says it.
    #[default]
    Other,
}

/// What places in documents are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Characters of a plain text.
    Char,
    /// Pages.
    Page,
    /// Blocks of content.
    Block,
}

impl Citation {
    /// The page of the web, if it is one.
    pub(crate) fn url(&self) -> Option<&str> {
        match &self.source {
            Source::Url(url) => Some(url),
            _ => None,
        }
    }

    /// The passage in an answer of which so many characters have been said.
    pub(crate) fn span_in(&self, said: usize) -> (usize, usize) {
        self.span.unwrap_or((0, said))
    }
}
