use super::Context;
use super::parse::Parser;
use super::path::{Path, Step};
use crate::dynamodb::value::{Item, Value};
use crate::error::ApiError;

/// The attributes that a read is to bring.
#[derive(Clone, Debug)]
pub struct Projection(Vec<Path>);

impl Projection {
    pub fn read(text: &str, context: &mut Context) -> Result<Self, ApiError> {
        let mut parser = Parser::new(text, "ProjectionExpression", context)?;
        let mut paths: Vec<Path> = Vec::new();
        loop {
            let path = parser.path()?;
            if path.rest.iter().any(|step| matches!(step, Step::Index(_))) {
                return Err(ApiError::unsupported("projections of list elements"));
            }
            if paths.iter().any(|other| other.overlaps(&path)) {
                return Err(parser.wrong("Two document paths overlap with each other"));
            }
            paths.push(path);
            if !parser.take(",") {
                break;
            }
        }
        parser.end()?;
        Ok(Self(paths))
    }

    pub fn of(&self, item: &Item) -> Item {
        let mut shown = Item::new();
        for path in &self.0 {
            let Some(value) = path.find(item) else { continue };
            // Make the maps on the way, which the paths before this one may have made.
            let mut way = Path { top: path.top.clone(), rest: Vec::new() };
            for step in &path.rest {
                if way.find(&shown).is_none() {
                    way.put(&mut shown, Value::Map(Item::new()));
                }
                way.rest.push(step.clone());
            }
            way.put(&mut shown, value.clone());
        }
        shown
    }
}
