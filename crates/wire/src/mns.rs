//! The message service's XML, as upstream's version 2015-06-06 has it: what a body says and how an answer
//! is written. [`xml`] reads and writes it within bounds.

pub mod xml;

pub use xml::{Element, XmlError};

/// The namespace of every document.
pub const NAMESPACE: &str = "http://mns.aliyuncs.com/doc/v1/";
/// The version we speak.
pub const VERSION: &str = "2015-06-06";
/// What every answer's body is.
pub const CONTENT_TYPE: &str = "text/xml;charset=utf-8";

/// An error's document.
pub fn error(code: &str, message: &str, (request_id, host): (&str, &str)) -> Element {
    Element::new("Error")
        .with("Code", code)
        .with("Message", message)
        .with("RequestId", request_id)
        .with("HostId", host)
}
