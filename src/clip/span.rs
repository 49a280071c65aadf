//! Which time a client asks for.

use std::time::Duration;

use crate::http::{Reply, RequestTarget};
use crate::units;
use crate::utc::Utc;

/// A time of a mount's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipSpan {
    /// The last so much of it (`?clip=30s`).
    Last(Duration),
    /// From one time to another (`?from=…&to=…`).
    Between(Utc, Utc),
}

impl ClipSpan {
    /// The parameters that ask for a time.
    pub(crate) fn query(from: Utc, to: Utc) -> String {
        format!("from={from}&to={to}")
    }

    /// What the parameters of a request ask for. `None` if it is not for a clip.
    ///
    /// # Errors
    /// The reply to send, with status 400, if they are not valid.
    pub fn of(target: &RequestTarget) -> Result<Option<Self>, Reply> {
        let bad = |sentence: &str| Err(Reply::new(400, sentence));
        let (from, to) = (time_of(target, "from")?, time_of(target, "to")?);
        match (target.parameter("clip"), from, to) {
            (None, None, None) => Ok(None),
            (Some(text), None, None) => match units::duration(text) {
                Ok(time) if !time.is_zero() => Ok(Some(Self::Last(time))),
                _ => bad("The parameter clip must be a duration above zero, such as 30s."),
            },
            (None, Some(from), Some(to)) if from < to => Ok(Some(Self::Between(from, to))),
            (None, Some(_), Some(_)) => bad("The parameter to must be later than from."),
            (None, _, _) => bad("The parameters from and to belong together."),
            (Some(_), _, _) => bad("Ask either with clip, or with from and to."),
        }
    }
}

/// The time in a parameter of a request.
///
/// # Errors
/// The reply to send, with status 400, if it is not a time.
pub(crate) fn time_of(target: &RequestTarget, name: &str) -> Result<Option<Utc>, Reply> {
    // A plus sign is a part of an offset from UTC here, although it stands for a space in forms.
    let Some(text) = target.percent_decoded_parameter(name) else { return Ok(None) };
    let time = Utc::parse(&text);
    time.map(Some).map_err(|error| Reply::new(400, format!("The parameter {name} is {error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::RequestHead;

    fn span(query: &str) -> Result<Option<ClipSpan>, String> {
        let mut text = format!("GET /m{query} HTTP/1.1\r\n\r\n").into_bytes();
        let head = RequestHead::take(&mut text).unwrap().unwrap();
        ClipSpan::of(&RequestTarget::of(&head, "")).map_err(|reply| reply.sentence.clone())
    }

    #[test]
    fn a_clip_is_the_last_part_or_from_one_time_to_another() {
        let at = |text| Utc::parse(text).unwrap();
        assert_eq!(span("?burst=1s"), Ok(None));
        assert_eq!(span("?clip=90s"), Ok(Some(ClipSpan::Last(Duration::from_secs(90)))));
        let (from, to) = (at("2026-05-01T04:12:30Z"), at("2026-05-01T04:12:40.5Z"));
        for query in [
            "?from=2026-05-01T04:12:30Z&to=2026-05-01T04:12:40.5Z",
            "?from=2026-05-01T06:12:30+02:00&to=2026-05-01T06%3A12%3A40.5%2B02:00",
        ] {
            assert_eq!(span(query), Ok(Some(ClipSpan::Between(from, to))), "{query}");
        }
    }

    #[test]
    fn wrong_parameters_are_explained() {
        for (query, sentence) in [
            ("?clip=0s", "must be a duration above zero"),
            ("?clip=soon", "must be a duration above zero"),
            ("?clip=1s&to=2026-05-01T04:12:30Z", "either with clip, or with from and to"),
            ("?from=2026-05-01T04:12:30Z", "belong together"),
            ("?from=yesterday&to=now", "The parameter from is not a time in RFC 3339"),
            ("?from=2026-05-01T04:12:30Z&to=2026-05-01T04:12:30Z", "later than from"),
        ] {
            let said = span(query).unwrap_err();
            assert!(said.contains(sentence), "{query}: {said}");
        }
    }
}
