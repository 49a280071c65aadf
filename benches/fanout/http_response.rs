//! Reads HTTP responses from a connection, as it delivers them. Pure; `tests/whole/hls_clients.rs` tests
//! it.

/// A response that is read.
#[derive(Debug, Default)]
pub(crate) struct ResponseReader {
    bytes: Vec<u8>,
    /// Status, where the body begins and where it ends, once the head is complete.
    head: Option<(u16, usize, usize)>,
}

/// A complete response.
#[derive(Debug, PartialEq)]
pub(crate) struct WholeResponse {
    /// The status.
    pub(crate) status: u16,
    /// Length of head and body.
    pub(crate) length: usize,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl ResponseReader {
    /// Takes what has arrived. Returns the response once it is complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Option<WholeResponse>, String> {
        self.bytes.extend_from_slice(bytes);
        if self.head.is_none() {
            let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = end.map(|end| end + 4) else { return Ok(None) };
            let head = String::from_utf8_lossy(&self.bytes[..end]);
            let wrong = || format!("a response without status or length: {head}");
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                value.trim().parse::<usize>().ok().filter(|_| is_length)
            });
            let length = length.ok_or_else(wrong)?;
            self.head = Some((status.ok_or_else(wrong)?, end, end + length));
        }
        let Some((status, start, end)) = self.head else { return Ok(None) };
        if self.bytes.len() < end {
            return Ok(None);
        }
        if self.bytes.len() > end {
            return Err("more bytes than a response has".to_owned());
        }
        let body = self.bytes.split_off(start);
        *self = Self::default();
        Ok(Some(WholeResponse { status, length: end, body }))
    }
}
