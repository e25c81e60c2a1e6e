//! The path in `sqlite:PATH`, and the text for a path.
//!
//! A path may be percent-encoded as any part of a URL may, and must be where it has what could be a
//! mistake: a newline at its end, or an option that SQLite itself would know, is another file, and
//! so another leader.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

/// What stands for a path, after `sqlite:`.
pub(crate) fn parse(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("there is no path after sqlite:".to_owned());
    }
    if text == ":memory:" {
        return Err("a database in memory is not shared with anybody".to_owned());
    }
    check_characters(text)?;
    for (character, code) in [('?', "%3F"), ('#', "%23")] {
        if text.contains(character) {
            return Err(format!(
                "what comes after sqlite: is a path, without options: write a {character} in it as \
                 {code}"
            ));
        }
    }
    // sqlite://host/path, or a relative path with two slashes too many: which is meant?
    let path = match text.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => {
            return Err("write sqlite:PATH, or sqlite:///PATH for one from the root".to_owned());
        }
        None => text,
    };
    if path.contains("//") {
        return Err(
            "the path has two slashes in a row, as if something were missing between them: \
                    leave one out, or write it as %2F"
                .to_owned(),
        );
    }
    let is_code = |after: &str| {
        let digits = after.as_bytes().get(..2).unwrap_or_default();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)
    };
    if !path.split('%').skip(1).all(is_code) {
        return Err(
            "the path has a % without two hexadecimal digits after it: write % as %25".to_owned()
        );
    }
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    if bytes.contains(&0) {
        return Err("the path has %00 in it, which no file's name has".to_owned());
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

/// Refuses what is not seen: at the ends also a blank, which within a path is as good as a letter.
fn check_characters(text: &str) -> Result<(), String> {
    let blank = (text.trim() != text).then_some(' ');
    match text.chars().find(|character| is_not_seen(*character)).or(blank) {
        None => Ok(()),
        Some(character) => Err(format!(
            "the path has {character:?} in it, or at an end: leave it out, or write its bytes as \
             %XX if it is meant"
        )),
    }
}

fn is_not_seen(character: char) -> bool {
    let is_invisible = matches!(character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}');
    let is_blank = character.is_whitespace() && character != ' ';
    character.is_control() || is_blank || is_invisible
}

/// The path that `text` was before it could be encoded, if it now stands for another: one with a
/// `%` that is meant.
pub(crate) fn unencoded(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text.strip_prefix("//").unwrap_or(text));
    parse(text).is_ok_and(|parsed| parsed != path).then_some(path)
}

/// What stands for `path` after `sqlite:`, and for no other path.
pub(crate) fn show(path: &Path) -> String {
    let mut text = String::new();
    let bytes = path.as_os_str().as_bytes();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if !is_not_seen(character) && !"%?#".contains(character) {
                text.push(character);
            } else {
                encode(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        encode(&mut text, chunk.invalid());
    }
    // A blank within a path is shown as it is.
    let middle = text.trim_matches(' ');
    let [before, after] = match text.find(middle) {
        Some(before) => [before, text.len().saturating_sub(before).saturating_sub(middle.len())],
        None => [0, 0],
    };
    let text = format!("{}{middle}{}", "%20".repeat(before), "%20".repeat(after));
    // Two slashes that come first mean that a host could follow.
    text.replace("//", "/%2F")
}

fn encode(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_it_says_and_is_shown_so_that_it_can_be_read_again() {
        let cases: [(&str, &[u8]); 13] = [
            ("leases.db", b"leases.db"),
            ("/var/lib/a:b.db", b"/var/lib/a:b.db"),
            ("///var/lib/a.db", b"/var/lib/a.db"),
            ("/My Files/grün.db", "/My Files/grün.db".as_bytes()),
            ("a%0A", b"a\n"),
            ("%20a%20", b" a "),
            ("a%3Fmode=rwc", b"a?mode=rwc"),
            ("a%23b", b"a#b"),
            ("100%25", b"100%"),
            ("100%2525", b"100%25"),
            ("%c3%9f%FF", b"\xc3\x9f\xff"),
            ("a/%2Fb", b"a//b"),
            ("%E2%80%8B%C2%A0", "\u{200b}\u{a0}".as_bytes()),
        ];
        for (text, bytes) in cases {
            let path = parse(text).unwrap();
            assert_eq!(path.as_os_str().as_bytes(), bytes, "{text}");
            let shown = show(&path);
            assert_eq!(parse(&shown).as_deref(), Ok(&*path), "{text} is shown as {shown}");
        }
        assert_eq!(show(Path::new("/My Files/grün.db")), "/My Files/grün.db");
        assert_eq!(show(Path::new(" a\n")), "%20a%0A");
    }

    #[test]
    fn what_would_be_another_file_by_mistake_is_refused() {
        for text in [
            "",
            ":memory:",
            "a\n",
            "a\r\n",
            " a",
            "a ",
            "a\tb",
            "\u{feff}a",
            "a\u{a0}",
            "a\u{200b}",
            "a?mode=rwc",
            "a?",
            "a#b",
            "//a/b",
            "////a",
            "a//b",
            "/a/b//",
            "a%",
            "a%2",
            "a%zz",
            "a%+1",
            "a%00",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_path_that_used_to_be_another_is_known() {
        assert_eq!(unencoded("a%20b"), Some(PathBuf::from("a%20b")));
        assert_eq!(unencoded("///a%20b"), Some(PathBuf::from("/a%20b")));
        assert_eq!(unencoded("///a b"), None);
        assert_eq!(unencoded("a b"), None);
    }
}
