//! Reads what a detector posts: detections in JSON, a notification about one, or a table.

use super::check::{Draft, Value, check};
use super::detection::Detection;
use super::item::{Item, Metadata, text, values};
use super::problems::Problems;
use super::read_options::{PostFormat, ReadOptions};
use super::table::{self, TableRow};

/// What was posted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Post {
    /// The detections, in their order.
    pub detections: Vec<Detection>,
    /// How much of it is no detection, such as a notification about something else.
    pub ignored: usize,
}

impl Post {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Problems`] if anything is wrong with any detection.
    pub fn read(body: &[u8], options: &ReadOptions) -> Result<Self, Problems> {
        let body = std::str::from_utf8(body).map_err(|_| Problems::of("the text is not UTF-8"))?;
        let body = body.trim_start_matches('\u{feff}');
        let mut reader =
            PostReader { options, post: Self::default(), problems: Problems::default() };
        match options.format {
            PostFormat::Json => reader.json(body)?,
            PostFormat::Table(start) => {
                let read = table::read(body, start, |number, row| {
                    reader.problems.number = Some(number);
                    match row {
                        TableRow::Detection(draft) => reader.draft(Some(&draft)),
                        TableRow::Nothing => reader.draft(None),
                        TableRow::Wrong(problem) => reader.problems.add(&problem),
                    }
                });
                read.map_err(|error| Problems::of(&error))?;
            }
        }
        if reader.problems.count() > 0 { Err(reader.problems) } else { Ok(reader.post) }
    }
}

struct PostReader<'o> {
    options: &'o ReadOptions,
    post: Post,
    problems: Problems,
}

impl PostReader<'_> {
    fn json(&mut self, body: &str) -> Result<(), Problems> {
        let not_json = |error: serde_json::Error| Problems::of(&format!("no valid JSON: {error}"));
        let values = values(body).map_err(not_json)?;
        let is_list = values.len() > 1;
        for (value, number) in values.into_iter().zip(1..) {
            self.problems.number = is_list.then_some(number);
            // A list would be read as the members of an object in their order.
            if !value.get().starts_with('{') {
                self.problems.add("it is not an object");
                continue;
            }
            match serde_json::from_str::<Item<'_>>(value.get()) {
                Ok(item) => self.item(item),
                Err(error) => self.problems.add(&error.to_string()),
            }
        }
        Ok(())
    }

    /// An object, which may be a notification about a detection.
    fn item(&mut self, item: Item<'_>) {
        if item.is_detection() {
            return self.draft(Some(&item.into()));
        }
        let is_of_detection = item.kind.and_then(text).is_some_and(|kind| kind == "detection");
        let metadata =
            item.metadata.filter(|value| is_of_detection && value.get().starts_with('{'));
        if let Some(Ok(metadata)) =
            metadata.map(|metadata| serde_json::from_str::<Metadata<'_>>(metadata.get()))
        {
            let model = Some(Value::Text("BirdNET-Go".into()));
            let draft = metadata.detection().map(|item| Draft { model, ..item.into() });
            return self.draft(draft.as_ref());
        }
        let message = item.message.filter(|_| item.version.is_some()).and_then(text);
        let message = message.unwrap_or_default();
        // Text may stand before and after the object.
        let object = message.find('{').zip(message.rfind('}'));
        let object = object.and_then(|(begin, end)| message.get(begin..=end));
        match object.map(serde_json::from_str::<Item<'_>>) {
            Some(Ok(item)) if item.is_detection() => self.draft(Some(&item.into())),
            Some(Err(error)) => {
                self.problems.add(&format!("the message is no valid JSON: {error}"));
            }
            Some(Ok(_)) | None => self.draft(None),
        }
    }

    /// `None` stands for what is no detection.
    fn draft(&mut self, draft: Option<&Draft>) {
        match draft {
            Some(draft) => {
                let detection = check(draft, self.options, &mut self.problems);
                self.post.detections.extend(detection);
            }
            None => self.post.ignored = self.post.ignored.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::utc::Utc;

    fn payload(name: &str) -> String {
        let path = format!("{}/tests/payloads/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    fn at(text: &str) -> Utc {
        Utc::parse(text).unwrap()
    }

    fn options(format: PostFormat) -> ReadOptions {
        ReadOptions { format, shift: 0, received: at("2026-05-04T03:12:59Z") }
    }

    fn json(text: &str) -> Result<Post, String> {
        Post::read(text.as_bytes(), &options(PostFormat::Json)).map_err(|error| error.to_string())
    }

    fn table(name: &str) -> Post {
        let start = PostFormat::Table(at("2026-05-04T03:00:00Z"));
        Post::read(payload(name).as_bytes(), &options(start)).unwrap()
    }

    /// The only detection of a post.
    fn single(post: Post) -> Detection {
        assert_eq!((post.detections.len(), post.ignored), (1, 0));
        post.detections.into_iter().next().unwrap()
    }

    const BLACKBIRD: &str = r#"{"scientific_name":"Turdus merula","common_name":"Blackbird",
        "confidence":0.87,"start":"2026-05-04T05:12:44+02:00","end":"2026-05-04T03:12:47.5Z",
        "low_frequency":1800,"high_frequency":"4200.5","id":7,"model":"mine","url":"https://a.example/7"}"#;

    #[test]
    fn one_or_many_detections_are_read() {
        let blackbird = single(json(BLACKBIRD).unwrap());
        assert_eq!(blackbird.title(), "Blackbird (Turdus merula)");
        let comment =
            "2026-05-04T03:12:44.000Z/2026-05-04T03:12:47.500Z 0.87 Blackbird (Turdus merula)";
        assert_eq!(blackbird.comment(), comment);
        assert_eq!(
            (blackbird.low_frequency, blackbird.high_frequency),
            (Some(1800.0), Some(4200.5))
        );
        assert_eq!(
            (blackbird.id.as_deref(), blackbird.model.as_deref()),
            (Some("7"), Some("mine"))
        );
        let many = json(&format!("[{BLACKBIRD}, {BLACKBIRD}]")).unwrap();
        assert_eq!(many.detections, [blackbird.clone(), blackbird]);
        assert_eq!(json("[]").unwrap(), Post::default());
        let shortest =
            r#"{"common_name":"Engine","confidence":"1","start":"2026-05-04T03:12:44Z","url":""}"#;
        let shortest = single(json(shortest).unwrap());
        assert_eq!((shortest.title(), shortest.url), ("Engine".into(), None));
        assert_eq!(shortest.end, at("2026-05-04T03:12:47Z"), "the window of BirdNET");
    }

    #[test]
    fn times_are_shifted() {
        let options = ReadOptions { shift: -1_500_000, ..options(PostFormat::Json) };
        let shifted = single(Post::read(BLACKBIRD.as_bytes(), &options).unwrap());
        let (start, end) = (at("2026-05-04T03:12:42.5Z"), at("2026-05-04T03:12:46Z"));
        assert_eq!((shifted.start, shifted.end), (start, end));
    }

    #[test]
    fn webhooks_of_birdnet_go_are_read() {
        let wren = single(json(&payload("birdnet-go-webhook.json")).unwrap());
        assert_eq!(wren.title(), "Eurasian Wren (Troglodytes troglodytes)");
        assert_eq!((wren.confidence, wren.start), (0.87, at("2026-05-04T03:12:33Z")));
        assert_eq!((wren.id.as_deref(), wren.model.as_deref()), (Some("4711"), Some("BirdNET-Go")));
        assert_eq!(wren.url.as_deref(), Some("http://birds.local:8080/ui/detections/4711"));
        let again = single(json(&payload("birdnet-go-webhook-again.json")).unwrap());
        assert!(again.is_again(&wren), "of another rule, with a clock of twelve hours");
        for other in ["birdnet-go-webhook-test.json", "birdnet-go-webhook-warning.json"] {
            let post = json(&payload(other)).unwrap();
            assert_eq!((post.detections.len(), post.ignored), (0, 1), "{other}");
        }
    }

    #[test]
    fn events_of_birdnet_go_are_read() {
        let events = payload("birdnet-go-events.txt");
        let data = events.lines().filter_map(|line| line.strip_prefix("data: "));
        let posts: Vec<_> = data.map(|data| json(data).unwrap()).collect();
        let read = posts.iter().map(|post| (post.detections.len(), post.ignored));
        assert_eq!(read.collect::<Vec<_>>(), [(0, 1), (0, 1), (1, 0), (0, 1)]);
        let wren = single(posts[2].clone());
        assert_eq!(wren.title(), "Eurasian Wren (Troglodytes troglodytes)");
        assert_eq!((wren.start, wren.id.as_deref()), (at("2026-05-04T03:12:44Z"), Some("4711")));
    }

    #[test]
    fn notifications_of_birdnet_pi_are_read() {
        for other in ["birdnet-pi-prose.json", "birdnet-pi-attachment.json"] {
            let post = json(&payload(other)).unwrap();
            assert_eq!((post.detections.len(), post.ignored), (0, 1), "{other}");
        }
        let message = r#"Heard: {"common_name":"Bewick's Wren","confidence":0.8731,
            "date":"2026-05-04","time":"05:12:33"} today"#;
        let text = serde_json::json!({ "version": "1.0", "message": message, "type": "info" });
        let wren = single(json(&text.to_string()).unwrap());
        assert_eq!(
            (wren.title(), wren.start),
            ("Bewick's Wren".into(), at("2026-05-04T03:12:33Z"))
        );
    }

    #[test]
    fn tables_of_birdnet_analyzer_are_read() {
        let csv = table("birdnet-analyzer.csv").detections;
        assert_eq!(csv.len(), 4);
        assert_eq!(csv[2].title(), "Eurasian Blackbird (Turdus merula)");
        let (start, end) = (at("2026-05-04T03:00:06Z"), at("2026-05-04T03:00:09Z"));
        assert_eq!((csv[2].start, csv[2].end, csv[2].confidence), (start, end, 0.9501));
        assert_eq!(table("birdnet-analyzer-additional.csv").detections, csv);
        let raven = table("birdnet-analyzer-selection-table.txt").detections;
        assert_eq!(raven[1].title(), "Eurasian Blackbird");
        assert_eq!((raven[1].start, raven[1].low_frequency), (at("2026-05-04T03:00:00Z"), None));
        let nothing = table("birdnet-analyzer-nocall.txt");
        assert_eq!((nothing.detections.len(), nothing.ignored), (0, 1));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let wrong = r#"[{"confidence":1.7,"start":"yesterday","end":"2026-05-04T03:12:47Z",
            "low_frequency":9000,"high_frequency":3000,"url":"javascript:alert(1)","model":{}},
            7, {"scientific_name":"a\u0007b","confidence":true,"date":"2026-05-04","time":"noon"}]"#;
        let said = "detection 1: the species is missing: scientific_name or common_name; \
            detection 1: confidence is 1.7; allowed: a number from 0 to 1; \
            detection 1: start is not a time in RFC 3339, such as 2026-05-01T04:12:30.250Z; \
            detection 1: high_frequency is not above low_frequency; \
            detection 1: model is not text; \
            detection 1: url is not a URL with http or https; \
            detection 2: it is not an object; \
            detection 3: scientific_name has control characters; \
            detection 3: confidence is not a number; allowed: a number from 0 to 1; \
            detection 3: time is not a time of day, such as 04:12:30";
        assert_eq!(json(wrong).unwrap_err(), said);
    }

    #[test]
    fn each_kind_of_fault_has_its_sentence() {
        let long = format!(
            r#"{{"common_name":"{}","confidence":1,"start":"2026-05-04T03:12:44Z"}}"#,
            "a".repeat(129)
        );
        let many = format!("[{}]", ["{}"; 257].join(","));
        for (text, sentence) in [
            ("", "no valid JSON: EOF"),
            ("{", "no valid JSON: EOF"),
            ("7", "it is not an object"),
            (r#"[["a","b",1,"2026-05-04T03:12:44Z"]]"#, "it is not an object"),
            (&long, "common_name has 129 bytes; allowed: up to 128"),
            (&many, "more than 256 detections at once"),
            (r#"{"common_name":"a"}"#, "confidence is missing; start is missing"),
            (r#"{"confidence":1,"confidence":1}"#, "duplicate field"),
            (
                r#"{"common_name":"a","confidence":1,"start":"9999-12-31T23:59:59Z"}"#,
                "start is not between the years 1970 and 9998",
            ),
            (
                r#"{"version":"1.0","message":"{\"common_name\":\"a\",\"confidence\":0,87}"}"#,
                "the message is no valid JSON",
            ),
            (
                r#"{"common_name":"a","confidence":1,"date":"2026-05-01","time":"05:12:33"}"#,
                "date and time fit no time zone",
            ),
            (
                r#"{"common_name":"a","confidence":1,"start":"2026-05-04T03:12:44Z","end":"2026-05-04T03:12:44Z"}"#,
                "end is not later than start",
            ),
            (
                r#"{"common_name":"a","confidence":1,"start":"2026-05-04T03:12:44Z","end":"2026-05-04T05:12:44Z"}"#,
                "end is more than an hour later than start",
            ),
        ] {
            let said = json(text).unwrap_err();
            assert!(said.contains(sentence), "{text}: {said}");
        }
        let many = format!("[{}]", vec![r#"{"confidence":2}"#; 30].join(","));
        assert!(json(&many).unwrap_err().ends_with("; and 70 more"));
        let start = options(PostFormat::Table(at("2026-05-04T03:00:00Z")));
        for (text, sentence) in [
            ("Selection,View\n", "the table has no column \"Start (s)\" or \"Begin Time (s)\""),
            (
                "Start (s),End (s),Common name,Confidence,File\n0,3,a,1,x.wav\n0,3,a,1,y.wav\n",
                "the table is of several files",
            ),
            (
                "Start (s),End (s),Common name,Confidence\n0,3,a,1\nsoon,3,a,1\n",
                "detection 2: the column \"Start (s)\" is not a number of seconds",
            ),
            ("Start (s),End (s),Common name,Confidence\n3,3,a,1\n", "end is not later than start"),
            (&",".repeat(65), "the table has more than 64 columns"),
        ] {
            let said = Post::read(text.as_bytes(), &start).unwrap_err().to_string();
            assert!(said.contains(sentence), "{text}: {said}");
        }
    }
}
