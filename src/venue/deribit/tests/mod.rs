//! Tests of the dialect: the corpus, and the session machines without sockets.

mod corpus;
mod session;
mod standing;
