//! A small part of XML, enough for documents that are records: elements and text, the five named
//! entities, characters by number, CDATA, comments. There are no attributes that mean anything, no
//! document types (so no entities of one's own), and bounds on depth and number of elements. Whoever
//! calls bounds the size.

use std::fmt::Write as _;

use thiserror::Error;

/// Elements inside each other.
const DEPTH_MAX: usize = 8;
/// Elements of a document.
const ELEMENTS_MAX: usize = 4_096;

/// Why a text is no document of ours.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("the XML you provided was not well-formed: {0}")]
pub struct XmlError(pub &'static str);

/// An element: text, or elements.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Element {
    /// Its name without a prefix.
    pub name: String,
    /// What stands in it, elements left out.
    pub text: String,
    /// The elements in it.
    pub children: Vec<Self>,
}

impl Element {
    /// An empty one.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// With an element that holds text.
    #[must_use]
    pub fn with(self, name: &str, text: impl ToString) -> Self {
        let child = Self { text: text.to_string(), ..Self::new(name) };
        self.holding(child)
    }

    /// With another element.
    #[must_use]
    pub fn holding(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// The first element of this name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first element of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// The whole document, in the service's namespace.
    pub fn document(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        self.write(&mut out, Some(super::NAMESPACE));
        out
    }

    fn write(&self, out: &mut String, namespace: Option<&str>) {
        out.push('<');
        out.push_str(&self.name);
        if let Some(namespace) = namespace {
            let _ = write!(out, " xmlns=\"{namespace}\"");
        }
        out.push('>');
        escape(&self.text, out);
        for child in &self.children {
            child.write(out, None);
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }

    /// Reads a document.
    ///
    /// # Errors
    /// When it is not well-formed, too deep, too large in number, or says a document type.
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        let mut reader = Reader { rest: text.trim_start_matches('\u{feff}'), elements: 0 };
        reader.between()?;
        if !reader.rest.starts_with('<') {
            return Err(XmlError("it has no element"));
        }
        let root = reader.element(0)?;
        reader.between()?;
        if reader.rest.is_empty() { Ok(root) } else { Err(XmlError("something follows its end")) }
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Else a reader would make a line feed of it.
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    elements: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Everything up to a text, which is passed over.
    fn until(&mut self, end: &str, missing: &'static str) -> Result<&'a str, XmlError> {
        let (before, rest) = self.rest.split_once(end).ok_or(XmlError(missing))?;
        self.rest = rest;
        Ok(before)
    }

    /// White space, the declaration and comments.
    fn between(&mut self) -> Result<(), XmlError> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            if self.take("<!--") {
                self.until("-->", "a comment has no end")?;
            } else if self.take("<?") {
                self.until("?>", "an instruction has no end")?;
            } else if self.rest.starts_with("<!") {
                return Err(XmlError("a document type is not allowed"));
            } else {
                return Ok(());
            }
        }
    }

    fn element(&mut self, depth: usize) -> Result<Element, XmlError> {
        self.elements += 1;
        if depth >= DEPTH_MAX || self.elements > ELEMENTS_MAX {
            return Err(XmlError("it has too many elements, or too many inside each other"));
        }
        self.rest = self.rest.get(1..).ok_or(XmlError("it ends early"))?;
        let whole = self.name()?;
        let mut element = Element::new(whole.rsplit(':').next().unwrap_or(whole));
        if self.attributes()? {
            return Ok(element);
        }
        loop {
            let at = self.rest.find(['<', '&']).ok_or(XmlError("an element has no end"))?;
            let (text, rest) = self.rest.split_at(at);
            element.text.extend(text.chars().filter(|c| *c != '\r'));
            self.rest = rest;
            if self.take("</") {
                let name = self.until(">", "an end has no end")?;
                if name.trim_ascii_end() != whole {
                    return Err(XmlError("an end is of another element"));
                }
                break;
            }
            if self.take("&") {
                element.text.push(self.reference()?);
            } else if self.take("<![CDATA[") {
                element.text.push_str(self.until("]]>", "a CDATA section has no end")?);
            } else if self.take("<!--") {
                self.until("-->", "a comment has no end")?;
            } else if self.take("<?") {
                self.until("?>", "an instruction has no end")?;
            } else if self.rest.starts_with("<!") {
                return Err(XmlError("a document type is not allowed"));
            } else {
                element.children.push(self.element(depth + 1)?);
            }
        }
        if !element.text.chars().all(stint_model::message::is_xml_char) {
            return Err(XmlError("a character that XML does not allow"));
        }
        Ok(element)
    }

    fn name(&mut self) -> Result<&'a str, XmlError> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let end = self.rest.find(|c: char| !is_part(c)).ok_or(XmlError("it ends early"))?;
        let (name, rest) = self.rest.split_at(end);
        let is_good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !is_good || name.len() > 128 {
            return Err(XmlError("a name that is none"));
        }
        self.rest = rest;
        Ok(name)
    }

    /// Passes over attributes; true when the element ends with them.
    fn attributes(&mut self) -> Result<bool, XmlError> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            if self.take("/>") {
                return Ok(true);
            }
            if self.take(">") {
                return Ok(false);
            }
            self.name()?;
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            if !self.take("=") {
                return Err(XmlError("an attribute without a value"));
            }
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            let value = match (self.take("\""), self.rest.starts_with('\'')) {
                (true, _) => self.until("\"", "an attribute has no end")?,
                (false, true) => {
                    self.rest = &self.rest[1..];
                    self.until("'", "an attribute has no end")?
                }
                (false, false) => return Err(XmlError("an attribute without quotes")),
            };
            if value.contains('<') {
                return Err(XmlError("an attribute that holds an element"));
            }
        }
    }

    /// What stands between `&` and `;`.
    fn reference(&mut self) -> Result<char, XmlError> {
        let known = XmlError("a reference to nothing that is known");
        let end = self.rest.bytes().take(12).position(|b| b == b';').ok_or(known.clone())?;
        let (name, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        let number = match name.strip_prefix('#') {
            None => {
                return match name {
                    "amp" => Ok('&'),
                    "lt" => Ok('<'),
                    "gt" => Ok('>'),
                    "quot" => Ok('"'),
                    "apos" => Ok('\''),
                    _ => Err(known),
                };
            }
            Some(digits) => match digits.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            },
        };
        number.ok().and_then(char::from_u32).ok_or(known)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_sdk_writes_is_read() {
        let text = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Message xmlns=\"http://mns.aliyuncs.com/doc/v1/\">\
                    <MessageBody>a &lt;b&gt; &#38; &#x41;<![CDATA[<c>]]></MessageBody><!-- x --><Priority> 3</Priority>\
                    <Empty/></Message>\n";
        let element = Element::parse(text).unwrap();
        assert_eq!(element.name, "Message");
        assert_eq!(element.get("MessageBody"), Some("a <b> & A<c>"));
        assert_eq!(element.get("Priority"), Some(" 3"));
        assert_eq!(element.get("Empty"), Some(""));
        assert_eq!(element.get("None"), None);
    }

    #[test]
    fn hostile_documents_are_refused() {
        let deep = "<a>".repeat(9) + &"</a>".repeat(9);
        let many = format!("<a>{}</a>", "<b/>".repeat(5_000));
        let bomb = "<!DOCTYPE a [<!ENTITY x \"y\"><!ENTITY z \"&x;&x;\">]><a>&z;</a>";
        let file = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>";
        for text in [
            &deep,
            &many,
            bomb,
            file,
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a>&x;</a>",
            "<a>&#0;</a>",
            "<a b></a>",
            "<a b=c></a>",
            "<a></a><b></b>",
            "<a>&#xd800;</a>",
            "<1/>",
            "<a><!DOCTYPE b></a>",
            "<a>\u{1}</a>",
            "<a b='<'/>",
            "<",
            "<a",
            "<a b='",
            "<!--",
            "<?x",
        ] {
            assert!(Element::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "[\\t\\n\\r\\x20-\\x7e\u{e4}\u{4e2d}&<>\"']{0,60}") {
            let element = Element::new("A").with("B", &text).holding(Element::new("C").with("D", "d"));
            let read = Element::parse(&element.document()).unwrap();
            prop_assert_eq!(read, element);
        }

        #[test]
        fn no_text_panics(text in "[<>/&;#!\\[\\]a-zA='\"? \u{4e2d}-]{0,80}", any in ".{0,80}") {
            drop(Element::parse(&text));
            drop(Element::parse(&any));
            drop(Element::parse(&format!("<a>{text}</a>")));
        }
    }
}
