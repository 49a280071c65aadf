//! Patterns of mount names. Of several patterns that match a name, the first applies.
//!
//! A pattern that can never apply is a mistake that would go unnoticed, for example a closed mount
//! that is open because an earlier pattern matches it. So a pattern without any possible name is
//! refused, and [`Pattern::shadow`] and [`Pattern::common_name`] find conflicts between patterns.

use std::collections::{HashMap, VecDeque};

use super::name::{Name, NameError};

/// A mount name in which `*` stands for any text within one path segment, and `**` for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A character that is special in the patterns of a shell, and of Icecast, but not here. As a
    /// plain character it would match names that nobody has.
    #[error("`{0}` is not supported in patterns, only `*` and `**` are")]
    Wildcard(char),
    /// Percent-encoding: names are compared decoded.
    #[error("a name is written without percent-encoding")]
    Encoded,
    /// No mount can have a name that matches.
    #[error("{0}")]
    Name(#[from] NameError),
}

/// Characters that are special in `fnmatch(3)` and are refused in a pattern.
const UNSUPPORTED: [char; 4] = ['?', '[', ']', '\\'];

/// Takes the place of wildcards in examples of names: a character that no pattern contains
/// literally, from Unicode's private use area.
const FRESH: &str = "\u{e000}";

/// How many example names are made of one pattern at most.
const MAX_EXAMPLES: usize = 1000;

/// One part of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PatternPart {
    Character(char),
    /// `*`
    WithinSegment,
    /// `**`
    AcrossSegments,
}

impl PatternPart {
    /// Whether the part may match this character, and stay current if it is a wildcard.
    fn accepts(self, character: char) -> bool {
        match self {
            Self::Character(own) => own == character,
            Self::WithinSegment => character != '/',
            Self::AcrossSegments => true,
        }
    }

    fn is_wildcard(self) -> bool {
        !matches!(self, Self::Character(_))
    }
}

impl Pattern {
    /// Validates a pattern.
    ///
    /// # Errors
    /// [`PatternError`]: no mount can have a name that matches.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if let Some(wildcard) = text.chars().find(|c| UNSUPPORTED.contains(c)) {
            return Err(PatternError::Wildcard(wildcard));
        }
        let is_encoded = |part: &str| {
            part.len() > 1 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
        };
        if text.split('%').skip(1).any(is_encoded) {
            return Err(PatternError::Encoded);
        }
        let pattern = Self(text.into());
        // No reserved word contains a 0. The empty text is for patterns of the greatest length.
        Name::new(&pattern.filled("0"))
            .or_else(|error| Name::new(&pattern.filled("")).map_err(|_| error))?;
        Ok(pattern)
    }

    /// The text of the pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The only name that the pattern matches; `None` if it matches several.
    pub fn name(&self) -> Option<Name> {
        if self.as_str().contains('*') { None } else { Name::new(self.as_str()).ok() }
    }

    /// Whether the pattern matches the whole name.
    pub fn matches(&self, name: &Name) -> bool {
        let (mut pattern, name) = (self.0.as_bytes(), name.as_str().as_bytes());
        if !name.starts_with(self.prefix().as_bytes()) {
            return false;
        }
        // `matched[n]`: whether the part of the pattern read so far matches the first n bytes of
        // the name. The time is bounded by the product of both lengths.
        let mut matched = vec![false; name.len() + 1];
        matched[0] = true;
        while let Some((&byte, rest)) = pattern.split_first() {
            let crosses_segments = rest.first() == Some(&b'*');
            pattern = if byte == b'*' && crosses_segments { &rest[1..] } else { rest };
            if byte == b'*' {
                for n in 1..matched.len() {
                    matched[n] |= matched[n - 1] && (crosses_segments || name[n - 1] != b'/');
                }
            } else {
                for n in (1..matched.len()).rev() {
                    matched[n] = matched[n - 1] && name[n - 1] == byte;
                }
                matched[0] = false;
            }
        }
        matched[name.len()]
    }

    /// The earlier pattern because of which this one never applies: each name that this one matches
    /// is matched by one of `earlier`.
    pub fn shadow<'p>(&self, earlier: &'p [Self]) -> Option<&'p Self> {
        let slashes = earlier.iter().map(|pattern| pattern.0.matches('/').count()).max()?;
        let mut shadow = None;
        for name in self.examples(slashes + 1) {
            let first = earlier.iter().find(|pattern| pattern.matches(&name))?;
            shadow.get_or_insert(first);
        }
        shadow
    }

    /// A name that both patterns match.
    pub fn common_name(&self, other: &Self) -> Option<Name> {
        let (our, their) = (self.prefix(), other.prefix());
        if !our.starts_with(their) && !their.starts_with(our) {
            return None;
        }
        let (ours, theirs) = (self.parts(), other.parts());
        // A breadth-first search finds the shortest text without an empty segment. A state is a
        // position in each pattern, and whether the text ends with a slash. Each state remembers
        // the one before it, and the character that leads from there to it.
        let start = (0, 0, false);
        let mut reached = HashMap::from([(start, None)]);
        let mut queue = VecDeque::from([start]);
        while let Some(state @ (i, j, after_slash)) = queue.pop_front() {
            if (i, j, after_slash) == (ours.len(), theirs.len(), false) {
                let mut text = Vec::new();
                let mut state = state;
                while let Some((before, character)) = reached[&state] {
                    text.extend(character);
                    state = before;
                }
                return Name::new(&text.iter().rev().collect::<String>()).ok();
            }
            let mut go = |i, j, character: Option<char>| {
                let to = (i, j, character.map_or(after_slash, |character| character == '/'));
                if after_slash && character == Some('/') {
                    return;
                }
                reached.entry(to).or_insert_with(|| {
                    queue.push_back(to);
                    Some((state, character))
                });
            };
            let (our, their) = (ours.get(i).copied(), theirs.get(j).copied());
            // A wildcard may match nothing (more).
            if our.is_some_and(PatternPart::is_wildcard) {
                go(i + 1, j, None);
            }
            if their.is_some_and(PatternPart::is_wildcard) {
                go(i, j + 1, None);
            }
            let (Some(our), Some(their)) = (our, their) else { continue };
            match (our, their) {
                (PatternPart::Character(own), _) if their.accepts(own) => {
                    go(i + 1, j + usize::from(!their.is_wildcard()), Some(own));
                }
                (_, PatternPart::Character(own)) if our.accepts(own) => go(i, j + 1, Some(own)),
                (our, their) if our.is_wildcard() && their.is_wildcard() => go(i, j, Some('x')),
                _ => {}
            }
        }
        None
    }

    /// Names that stand for all names that the pattern matches: another pattern, without the fresh
    /// character and with fewer than `depth` slashes, that matches all of them matches every name
    /// that this one matches. Its wildcards must match the fresh characters, and would match any
    /// other text in their place, too. Empty if there would be too many.
    fn examples(&self, depth: usize) -> Vec<Name> {
        let across: Vec<_> = (1..=depth + 1).map(|count| vec![FRESH; count].join("/")).collect();
        let mut texts = vec![String::new()];
        for part in self.parts() {
            let fillings = match part {
                PatternPart::Character(own) => &[own.to_string()][..],
                PatternPart::WithinSegment => &across[..1],
                PatternPart::AcrossSegments => &across,
            };
            if texts.len() * fillings.len() > MAX_EXAMPLES {
                return Vec::new();
            }
            let filled = |text: &String| -> Vec<_> {
                fillings.iter().map(|filling| format!("{text}{filling}")).collect()
            };
            texts = texts.iter().flat_map(filled).collect();
        }
        texts.iter().filter_map(|text| Name::new(text).ok()).collect()
    }

    /// The text before the first wildcard.
    fn prefix(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    fn parts(&self) -> Vec<PatternPart> {
        let mut parts = Vec::new();
        let mut characters = self.0.chars().peekable();
        while let Some(character) = characters.next() {
            parts.push(match character {
                '*' if characters.next_if_eq(&'*').is_some() => PatternPart::AcrossSegments,
                '*' => PatternPart::WithinSegment,
                other => PatternPart::Character(other),
            });
        }
        parts
    }

    /// The text with this in place of each wildcard.
    fn filled(&self, filling: &str) -> String {
        self.0.replace("**", "*").replace('*', filling)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn one_star_stays_within_a_segment_and_two_cross_segments() {
        for (text, candidate, expected) in [
            ("/mic-*.opus", "/mic-a.opus", true),
            ("/mic-*.opus", "/mic-.opus", true),
            ("/mic-*.opus", "/mic-a/b.opus", false),
            ("/mic-*.opus", "/mic-a.opus.m3u", false),
            ("/*/a*b*c", "/x/aXbYc", true),
            ("/*/a*b*c", "/x/acb", false),
            ("/*", "/x", true),
            ("/*", "/x/y", false),
            ("/**", "/x/y", true),
            ("/**.opus", "/x/y.opus", true),
            ("/a/**/c", "/a/b/b/c", true),
            ("/a/**/c", "/a/c", false),
            ("/***", "/x/y", true),
            ("/ab*ba", "/aba", false),
            ("/a", "/a", true),
            ("/a", "/ab", false),
        ] {
            assert_eq!(pattern(text).matches(&name(candidate)), expected, "{text} {candidate}");
        }
    }

    #[test]
    fn a_pattern_that_no_name_can_match_is_refused() {
        let long = format!("/{}", "x".repeat(254));
        for (text, error) in [
            ("/mic-?.opus", PatternError::Wildcard('?')),
            ("/mic.opus?burst=1s", PatternError::Wildcard('?')),
            ("/mic-[ab].opus", PatternError::Wildcard('[')),
            ("/mic-\\*.opus", PatternError::Wildcard('\\')),
            ("/mic%20a.opus", PatternError::Encoded),
            ("/healthz", NameError::Reserved.into()),
            ("/admin/*", NameError::Reserved.into()),
            ("/**.xsl", NameError::Reserved.into()),
            ("/", NameError::Reserved.into()),
            ("/a//*", NameError::Segment.into()),
            ("/**/../b", NameError::Segment.into()),
            ("mic.opus", NameError::Slash.into()),
            ("**", NameError::Slash.into()),
            ("/a\n", NameError::Control.into()),
            (&format!("{long}**y"), NameError::Long.into()),
        ] {
            assert_eq!(Pattern::new(text), Err(error), "{text}");
        }
        let longest = format!("{long}*");
        for text in ["/adm*", "/*etrics", "/*.x*l", "/50%.opus", "/%zz", "/a/**", &longest] {
            assert!(Pattern::new(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_pattern_is_shadowed_if_earlier_ones_match_each_of_its_names() {
        for (earlier, text, shadow) in [
            (&["/mic-*.opus"][..], "/mic-7.opus", Some("/mic-*.opus")),
            (&["/mic-7.opus"], "/mic-7.opus", Some("/mic-7.opus")),
            (&["/mic-7.opus"], "/mic-*.opus", None),
            (&["/**"], "/a/*/b**", Some("/**")),
            (&["/*"], "/**", None),
            (&["/*", "/*/**"], "/**", Some("/*")),
            (&["/*/**"], "/**/x", Some("/*/**")),
            (&["/*-7.opus"], "/mic-*.opus", None),
            (&["/a*b*"], "/a*c*b", Some("/a*b*")),
            (&["/a*", "/b*"], "/*", None),
            (&["/*/*"], "/**", None),
            (&["/***"], "/**", Some("/***")),
            (&["/*a**"], "/a*", Some("/*a**")),
            (&[], "/a", None),
        ] {
            let earlier: Vec<_> = earlier.iter().copied().map(pattern).collect();
            let found = pattern(text).shadow(&earlier).map(Pattern::as_str);
            assert_eq!(found, shadow, "{text} after {earlier:?}");
        }
    }

    #[test]
    fn a_name_that_two_patterns_match_is_found() {
        for (one, other, common) in [
            ("/mic-*.opus", "/*-7.opus", Some("/mic-7.opus")),
            ("/a*", "/*b", Some("/ab")),
            ("/a*", "/b*", None),
            ("/*/a", "/b/*", Some("/b/a")),
            ("/*", "/a/**", None),
            ("/**/a", "/b/*/**", Some("/b/x/a")),
            ("/a", "/a", Some("/a")),
            ("/*/b**", "/**/b*", Some("/x/b")),
        ] {
            let found = pattern(one).common_name(&pattern(other));
            assert_eq!(found.as_ref().map(Name::as_str), common, "{one} and {other}");
        }
    }

    proptest! {
        #[test]
        fn no_name_is_matched_first_by_a_shadowed_pattern(
            texts in prop::collection::vec("/[ab*]{1,3}(/[ab*]{1,3})?", 1..4),
            names in prop::collection::vec("(/[abc]{1,3}){1,3}", 20),
        ) {
            let patterns: Vec<_> = texts.iter().map(|text| pattern(text)).collect();
            let (last, earlier) = patterns.split_last().unwrap();
            for candidate in names.iter().map(|text| name(text)) {
                let is_first = last.matches(&candidate)
                    && !earlier.iter().any(|pattern| pattern.matches(&candidate));
                prop_assert!(!is_first || last.shadow(earlier).is_none());
                for pattern in earlier {
                    let both = pattern.matches(&candidate) && last.matches(&candidate);
                    prop_assert!(!both || pattern.common_name(last).is_some());
                }
            }
            for pattern in earlier {
                if let Some(common) = pattern.common_name(last) {
                    prop_assert!(pattern.matches(&common) && last.matches(&common));
                }
            }
        }
    }
}
