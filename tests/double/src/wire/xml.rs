use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::Event;

use super::{Node, clock};
use crate::error::ApiError;

/// Deeper documents than any AWS request are refused.
const DEPTH_MAX: usize = 32;

struct Open {
    name: String,
    text: String,
    children: Vec<(String, Node)>,
}

impl Open {
    fn new(name: String) -> Self {
        Self { name, text: String::new(), children: Vec::new() }
    }

    fn close(self) -> (String, Node) {
        let node = if self.children.is_empty() { Node::Text(self.text) } else { Node::Map(self.children) };
        (self.name, node)
    }
}

/// The root element's name and content.
pub fn parse(body: &str) -> Result<(String, Node), ApiError> {
    let malformed = |why: String| ApiError::bad("MalformedXML", why);
    let mut reader = Reader::from_str(body);
    let mut stack: Vec<Open> = Vec::new();
    loop {
        match reader.read_event().map_err(|error| malformed(error.to_string()))? {
            Event::Start(start) => {
                if stack.len() >= DEPTH_MAX {
                    return Err(malformed("nested too deeply".into()));
                }
                stack.push(Open::new(start.local_name().as_ref().to_owned()));
            }
            Event::Empty(empty) => {
                let done = Open::new(empty.local_name().as_ref().to_owned()).close();
                match stack.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => return Ok(done),
                }
            }
            Event::End(_) => {
                let done = stack.pop().ok_or_else(|| malformed("an end without a start".into()))?.close();
                match stack.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => return Ok(done),
                }
            }
            Event::Text(text) => append(&mut stack, &text),
            Event::CData(text) => append(&mut stack, &text),
            Event::GeneralRef(reference) => {
                let name = reference.into_inner();
                let text = entity(&name).ok_or_else(|| malformed(format!("unknown entity &{name};")))?;
                append(&mut stack, &text);
            }
            Event::Eof => return Err(malformed("the document ends early".into())),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => {}
        }
    }
}

fn append(stack: &mut [Open], text: &str) {
    if let Some(open) = stack.last_mut() {
        open.text.push_str(text);
    }
}

fn entity(name: &str) -> Option<String> {
    if let Some(code) = name.strip_prefix('#') {
        let code = match code.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => code.parse().ok()?,
        };
        return char::from_u32(code).map(String::from);
    }
    resolve_predefined_entity(name).map(str::to_owned)
}

pub fn write(out: &mut String, name: &str, node: &Node) {
    if matches!(node, Node::Null) {
        return;
    }
    out.push_str(&format!("<{name}>"));
    write_content(out, node);
    out.push_str(&format!("</{name}>"));
}

pub fn write_content(out: &mut String, node: &Node) {
    match node {
        Node::Null => {}
        Node::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Node::Int(number) => out.push_str(&number.to_string()),
        Node::Float(number) => out.push_str(&number.to_string()),
        Node::Text(text) => out.push_str(&escape(text.as_str())),
        Node::Time(at) => out.push_str(&clock::iso(*at)),
        Node::List(item, items) => items.iter().for_each(|node| write(out, item, node)),
        Node::Map(entries) => entries.iter().for_each(|(name, node)| write(out, name, node)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_and_lists_are_read() {
        let (root, node) = parse("<A xmlns='x'><L><I>&quot;a&amp;&#98;&quot;</I><I/></L></A>").expect("well formed");
        assert_eq!(root, "A");
        assert_eq!(node.str_list("L"), vec!["\"a&b\"".to_owned(), String::new()]);
    }

    #[test]
    fn a_broken_document_is_malformed() {
        for body in ["", "<a>", "<a></b>", "text", "<a>&nope;</a>"] {
            assert_eq!(parse(body).expect_err("malformed").code, "MalformedXML", "{body}");
        }
    }
}
