use serde_json::{Value, json};

/// API group, kind or resource, and name.
pub type About = (String, String, String);

/// What the API server answers instead of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: u16,
    pub reason: String,
    pub message: String,
    pub about: Option<Box<About>>,
}

impl Status {
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.to_owned(), message: message.into(), about: None }
    }

    fn about(mut self, group: &str, resource: &str, name: &str) -> Self {
        self.about = Some(Box::new((group.to_owned(), resource.to_owned(), name.to_owned())));
        self
    }

    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub fn internal(message: &str) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {message}"))
    }

    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, resource));
        Self::new(404, "NotFound", message).about(group, resource, name)
    }

    pub fn conflict(group: &str, resource: &str, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your changes to the latest version and try again",
            qualified(group, resource)
        );
        Self::new(409, "Conflict", message).about(group, resource, name)
    }

    pub fn invalid(name: &str, why: &str) -> Self {
        let message = format!("Deployment.apps \"{name}\" is invalid: {why}");
        Self::new(422, "Invalid", message).about("apps", "Deployment", name)
    }

    /// What Kubernetes has and the double does not: said aloud, so that no test passes by its being ignored.
    pub fn unsupported(what: &str) -> Self {
        Self::new(501, "UnsupportedByDouble", format!("the AWS double does not implement {what}"))
    }

    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if let (Some(about), Some(fields)) = (&self.about, body.as_object_mut()) {
            let (group, kind, name) = about.as_ref();
            let details = if group.is_empty() {
                json!({ "name": name, "kind": kind })
            } else {
                json!({ "name": name, "group": group, "kind": kind })
            };
            fields.insert("details".to_owned(), details);
        }
        body
    }
}

fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}
