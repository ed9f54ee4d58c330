//! What an image costs: its size from the header of a data URL, then the model's published rule.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sluice_providers::catalog::ImageRule;

/// Enough of a file to find its size; JPEGs may carry a thumbnail before it.
const HEADER: usize = 64 * 1024;
/// Assumed where the size cannot be known: an image behind a URL, which the gateway never fetches.
const ASSUMED: (u32, u32) = (1024, 1024);
/// The rule of the commonest models, where the catalog has none.
const COMMON: (u32, u32) = (85, 170);

/// Tokens of an image. The second value says whether the size was known.
pub(super) fn tokens(rule: ImageRule, url: &str, detail: Option<&str>) -> (u64, bool) {
    let size = data_url(url).and_then(|header| dimensions(&header));
    let (width, height) = size.unwrap_or(ASSUMED);
    let low = detail == Some("low");
    let tokens = match rule {
        ImageRule::Tile { base, per_tile } => tiles(base, per_tile, width, height, low),
        ImageRule::None => tiles(COMMON.0, COMMON.1, width, height, low),
        ImageRule::Patch { percent } => patches(percent, width, height),
        ImageRule::Area { pixels, most } => area(pixels, most, width, height),
        ImageRule::Flat { tokens } => flat(tokens, width, height),
    };
    (tokens, size.is_some() || low)
}

/// A base, and so much per 512-pixel tile after fitting into 2048 x 2048 and the short side to 768.
fn tiles(base: u32, per_tile: u32, width: u32, height: u32, low: bool) -> u64 {
    if low {
        return u64::from(base);
    }
    let (mut w, mut h) = (u64::from(width.max(1)), u64::from(height.max(1)));
    let long = w.max(h);
    if long > 2048 {
        (w, h) = ((w * 2048 / long).max(1), (h * 2048 / long).max(1));
    }
    let short = w.min(h);
    if short > 768 {
        (w, h) = (w * 768 / short, h * 768 / short);
    }
    u64::from(base) + u64::from(per_tile) * w.div_ceil(512) * h.div_ceil(512)
}

/// One token per 32-pixel patch, at most 1536, times the model's factor.
fn patches(percent: u32, width: u32, height: u32) -> u64 {
    let count = u64::from(width).div_ceil(32) * u64::from(height).div_ceil(32);
    (count.clamp(1, 1536) * u64::from(percent)).div_ceil(100)
}

/// One token for so many pixels, at most `most`: a larger image is made smaller first.
fn area(pixels: u32, most: u32, width: u32, height: u32) -> u64 {
    let count = (u64::from(width) * u64::from(height)).div_ceil(u64::from(pixels.max(1)));
    count.clamp(1, u64::from(most.max(1)))
}

/// So much for an image of up to 384 pixels a side, else for each tile of 768.
fn flat(tokens: u32, width: u32, height: u32) -> u64 {
    if width <= 384 && height <= 384 {
        return u64::from(tokens);
    }
    u64::from(tokens) * u64::from(width).div_ceil(768) * u64::from(height).div_ceil(768)
}

/// The first bytes behind a base64 data URL.
fn data_url(url: &str) -> Option<Vec<u8>> {
    let (_, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    // Whole groups of four, so that a cut does not spoil the decoding.
    let len = data.len().min(HEADER) / 4 * 4;
    STANDARD.decode(data.get(..len)?).ok()
}

/// Width and height from the header of a PNG, GIF, WebP or JPEG.
fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let big = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let little = |at: usize| bytes.get(at..at + 2)?.try_into().ok().map(|pair| u32::from(u16::from_le_bytes(pair)));
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some((big(16)?, big(20)?));
    }
    if bytes.starts_with(b"GIF8") {
        return Some((little(6)?, little(8)?));
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return webp(bytes, little);
    }
    if bytes.starts_with(b"\xFF\xD8") { jpeg(bytes) } else { None }
}

fn webp(bytes: &[u8], little: impl Fn(usize) -> Option<u32>) -> Option<(u32, u32)> {
    match bytes.get(12..16)? {
        b"VP8 " => Some((little(26)? & 0x3FFF, little(28)? & 0x3FFF)),
        b"VP8L" => {
            let packed = u32::from_le_bytes(bytes.get(21..25)?.try_into().ok()?);
            Some(((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1))
        }
        b"VP8X" => {
            let three = |at: usize| Some(little(at)? | u32::from(*bytes.get(at + 2)?) << 16);
            Some((three(24)? + 1, three(27)? + 1))
        }
        _ => None,
    }
}

/// Walks the segments to the start-of-frame marker.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let pair = |at: usize| bytes.get(at..at + 2)?.try_into().ok().map(|pair| u32::from(u16::from_be_bytes(pair)));
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xFF {
            return None;
        }
        match *bytes.get(at + 1)? {
            0xFF => at += 1,
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => return Some((pair(at + 7)?, pair(at + 5)?)),
            _ => at += 2 + usize::try_from(pair(at + 2)?).ok()?.max(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn png(width: u32, height: u32) -> String {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 6, 0, 0, 0, 0]);
        format!("data:image/png;base64,{}", STANDARD.encode(bytes))
    }

    const GPT_4O: ImageRule = ImageRule::Tile { base: 85, per_tile: 170 };

    #[test]
    fn published_examples() {
        // OpenAI's own: 1024 x 1024 is 4 tiles, 2048 x 4096 is 6, low detail is the base.
        assert_eq!(tokens(GPT_4O, &png(1024, 1024), Some("high")), (765, true));
        assert_eq!(tokens(GPT_4O, &png(2048, 4096), None), (1105, true));
        assert_eq!(tokens(GPT_4O, &png(4096, 8192), Some("low")), (85, true));
        assert_eq!(tokens(GPT_4O, "https://example.com/cat.png", None), (765, false));
        // 1024 x 1024 is 1024 patches.
        assert_eq!(tokens(ImageRule::Patch { percent: 162 }, &png(1024, 1024), None).0, 1659);
        assert_eq!(tokens(ImageRule::Patch { percent: 100 }, &png(9000, 9000), None).0, 1536);
    }

    #[test]
    fn sizes_of_every_format() {
        let gif = b"GIF89a\x20\x03\x58\x02\0";
        assert_eq!(dimensions(gif), Some((800, 600)));
        let mut jpeg = b"\xFF\xD8\xFF\xE0\0\x04ab\xFF\xC2\0\x11\x08".to_vec();
        jpeg.extend([0x02, 0x58, 0x03, 0x20]);
        assert_eq!(dimensions(&jpeg), Some((800, 600)));
        let mut webp = b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0".to_vec();
        webp.extend([0x1F, 0x03, 0, 0x57, 0x02, 0]);
        assert_eq!(dimensions(&webp), Some((800, 600)));
    }

    proptest! {
        #[test]
        fn any_header_is_no_crash(kind in 0..5usize, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let magic: [&[u8]; 5] = [b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF\0\0\0\0WEBPVP8L", b"\xFF\xD8\xFF", b""];
            let bytes = [magic[kind], &bytes].concat();
            let url = format!("data:image/x;base64,{}", STANDARD.encode(&bytes));
            prop_assert!(tokens(GPT_4O, &url, None).0 > 0);
        }
    }
}
