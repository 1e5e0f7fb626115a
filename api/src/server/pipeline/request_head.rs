//! Rules of HTTP for the head of a request that hyper does not check: `Host` (RFC 9112 §3.2) and `Transfer-Encoding` (§6.1).

use std::net::Ipv6Addr;

use poem::http::{
    HeaderMap, Request, Version,
    header::{HOST, TRANSFER_ENCODING},
};

use crate::http::api_error::ApiError;

/// Checks `Host`: it is a host with or without a port, and occurs once. HTTP/1.0 may omit it, and HTTP/2 has the authority of the
/// address instead.
///
/// # Errors
/// [`ApiError::MalformedRequest`].
pub(super) fn check_host<B>(request: &Request<B>) -> Result<(), ApiError> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(ApiError::MalformedRequest("The header Host is not a host with an optional port")),
        (Some(_), Some(_)) => Err(ApiError::MalformedRequest("The header Host was sent more than once; send one")),
        (None, _) if request.version() == Version::HTTP_11 => {
            Err(ApiError::MalformedRequest("The header Host is missing; HTTP/1.1 requires it"))
        }
        (None, _) => Ok(()),
    }
}

/// Checks that a body has no transfer coding but `chunked`, once: hyper would ignore another one.
///
/// # Errors
/// [`ApiError::MalformedRequest`].
pub(super) fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked =
        codings.next().is_none_or(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
    if is_chunked && codings.next().is_none() {
        Ok(())
    } else {
        Err(ApiError::MalformedRequest("The only supported Transfer-Encoding is chunked"))
    }
}

/// Whether a text is a host with an optional port (RFC 3986 §3.2.2): a name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &[u8]) -> bool {
    let (is_valid, port) = if let Some(rest) = text.strip_prefix(b"[") {
        let end = rest.iter().position(|byte| *byte == b']').unwrap_or(rest.len());
        let address = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        (address.parse::<Ipv6Addr>().is_ok(), rest.get(end + 1..).unwrap_or(b"]"))
    } else {
        let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
        (end > 0 && text[..end].iter().all(|byte| is_name_byte(*byte)), &text[end..])
    };
    is_valid && (port.is_empty() || port[0] == b':' && port.len() <= 6 && port[1..].iter().all(u8::is_ascii_digit))
}

/// Whether a byte may be in the name of a host: the unreserved characters, the delimiters, and `%`.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn hosts_have_a_name_or_address_and_maybe_a_port() {
        for host in ["x", "keys.example", "keys.example:8080", "127.0.0.1", "[::1]", "[::1]:443", "a_b", "x:", "xn--a"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for other in [
            "",
            ":80",
            "a b",
            "a b<>\"",
            "a/b",
            "user@host",
            "x:y",
            "x:123456",
            "::1",
            "[::1",
            "[x]",
            "[::1]80",
            "a:1:2",
        ] {
            assert!(!is_host(other.as_bytes()), "{other}");
        }
        assert!(!is_host("é".as_bytes()));
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        let check = |codings: &[&str]| {
            let headers =
                codings.iter().map(|coding| (TRANSFER_ENCODING, HeaderValue::from_str(coding).expect("text")));
            check_transfer_encoding(&headers.collect()).is_ok()
        };
        assert!(check(&[]) && check(&["chunked"]) && check(&["Chunked"]));
        for other in
            [&["gzip, chunked"][..], &["identity, chunked"], &["gzip"], &["chunked", "chunked"], &["gzip", "chunked"]]
        {
            assert!(!check(other), "{other:?}");
        }
    }
}
