//! Files that a manifest names: they lie in one directory, which the agent's own configuration gives.

use std::path::PathBuf;

use tokio::io::AsyncReadExt;

use super::trouble::Trouble;

/// A bundle of authorities has about 200 KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    pub dir: Option<PathBuf>,
}

impl Files {
    pub(crate) async fn read(&self, name: &str) -> Result<Vec<u8>, Trouble> {
        let Some(dir) = &self.dir else {
            return Err(Trouble::Own(format!("{name} cannot be read: this agent has no `credentials_dir`")));
        };
        // The rules of a manifest say so already; a path that leads out of the directory must not depend on them alone.
        if name.contains(['/', '\0']) || name.starts_with('.') {
            return Err(Trouble::Own(format!("{name:?} is no file name")));
        }
        let path = dir.join(name);
        let failed = |error: std::io::Error| Trouble::Own(format!("{}: {error}", path.display()));
        let file = tokio::fs::File::open(&path).await.map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).await.map_err(failed)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
            return Err(Trouble::Own(format!("{}: more than {FILE_BYTES_MAX} bytes", path.display())));
        }
        Ok(bytes)
    }
}
