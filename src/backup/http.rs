//! The requests of the object store over our own HTTP client: its library would bring a second one, with a second TLS.

use crate::net::http::{self as ours, HttpCall};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use ureq::http::Response;

/// Makes clients for the object store.
#[derive(Clone)]
pub struct Connector(pub ours::HttpClient);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Connector {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        // Blocks: the runtime around it has nothing else to do.
        Box::pin(ready(self.exchange(&request)))
    }
}

impl Connector {
    fn exchange(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let unfit =
            |what: &str| HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(what.to_owned()));
        let uri = request.uri();
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.authority()) else {
            return Err(unfit("the request names no host"));
        };
        let mut headers = Vec::new();
        for (name, value) in request.headers() {
            headers.push((name.as_str(), value.to_str().map_err(|_| unfit("a header is no text"))?));
        }
        let body: &[u8] = match request.body() {
            body if body.is_empty() => &[],
            body => body.as_bytes().ok_or_else(|| unfit("the body is in pieces"))?.as_ref(),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let base = format!("{scheme}://{host}");
        let call = HttpCall {
            method: request.method().as_str(),
            base: &base,
            path_and_query: path,
            headers: &headers,
            body,
        };
        let reply = self.0.request(&call).map_err(|error| HttpError::new(kind(&error), error))?;
        let mut response = Response::builder().status(reply.status);
        for (name, value) in &reply.headers {
            response = response.header(name, value);
        }
        response
            .body(HttpResponseBody::from(reply.body))
            .map_err(|e| HttpError::new(HttpErrorKind::Decode, e))
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
