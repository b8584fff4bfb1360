//! The requests of the object store over our own HTTP client: its library would bring a second one, with a second TLS.

use crate::net::http::{self as ours, HttpCall};
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, Result};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use ureq::http::{Response, request};

/// Longest code of an error that is shown, bytes.
const CODE_MAX: usize = 64;

/// Makes clients for the object store.
#[derive(Clone)]
pub(super) struct Connector(pub ours::HttpClient);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        Ok(HttpClient::new(Exchange { client: self.0.clone(), plain: plain.as_deref() == Some("true") }))
    }
}

/// Sends what the object store's library asks for.
struct Exchange {
    client: ours::HttpClient,
    /// Without TLS, too.
    plain: bool,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}

impl HttpService for Exchange {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<HttpResponse, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = HttpResponseBody::new(body).bytes().await?; // in one piece
            self.exchange(&head, &body) // blocks: the runtime around it has nothing else to do
        })
    }
}

impl Exchange {
    fn exchange(
        &self,
        request: &request::Parts,
        body: &[u8],
    ) -> std::result::Result<HttpResponse, HttpError> {
        let (Some(scheme), Some(host)) = (request.uri.scheme_str(), request.uri.authority()) else {
            return Err(unfit("the request names no host"));
        };
        if scheme != "https" && !self.plain {
            return Err(unfit("it is not https; AWS_ALLOW_HTTP=true allows that"));
        }
        let mut headers = Vec::new();
        for (name, value) in &request.headers {
            headers.push((name.as_str(), value.to_str().map_err(|_| unfit("a header is no text"))?));
        }
        let base = format!("{scheme}://{host}");
        let call = HttpCall {
            method: request.method.as_str(),
            base: &base,
            path_and_query: request.uri.path_and_query().map_or("/", |path| path.as_str()),
            headers: &headers,
            body,
        };
        let reply = self.client.request(&call).map_err(|error| HttpError::new(kind(&error), error))?;
        let mut response = Response::builder().status(reply.status);
        for (name, value) in &reply.headers {
            response = response.header(name, value);
        }
        let posted = request.method.as_str() == "POST";
        let body = if reply.status >= 300 || (posted && contains(&reply.body, b"<Error>")) {
            code(&reply.body).into_bytes()
        } else {
            reply.body
        };
        response.body(body.into()).map_err(|e| HttpError::new(HttpErrorKind::Decode, e))
    }
}

fn unfit(what: &str) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(what.to_owned()))
}

fn contains(body: &[u8], what: &[u8]) -> bool {
    body.windows(what.len()).any(|window| window == what)
}

/// What of a refusal may be shown: S3's own word for it. The rest quotes the request, session token and key's name
/// among it.
fn code(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let code =
        text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    match code {
        Some(code) if code.len() <= CODE_MAX && code.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            code.to_owned()
        }
        _ => "no reason that S3 knows; is the endpoint a server for S3?".to_owned(),
    }
}

/// What may be tried again.
fn kind(error: &ours::HttpError) -> HttpErrorKind {
    match error {
        ours::HttpError::Connect { .. } => HttpErrorKind::Connect,
        ours::HttpError::Timeout { .. } => HttpErrorKind::Timeout,
        ours::HttpError::Broken { .. } => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_refusal_only_its_code_is_shown() {
        let quoting = b"<?xml?><Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>canary</AWSAccessKeyId></Error>";
        assert_eq!(code(quoting), "SignatureDoesNotMatch");
        for other in [&b"<html>canary</html>"[..], b"<Code>canary: x</Code>", b"", b"<Code>canary"] {
            assert!(code(other).starts_with("no reason"), "{}", code(other));
        }
    }
}
