//! Files that the laboratory writes: whole or not at all, and never over somebody else's.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use crate::report::Failure;

/// Whether a file that is not known to be ours may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Only files that begin as ours do.
    Ours,
    /// Every file (`--force`).
    Any,
}

/// Writes a file whose text begins with `mark`, by which it is known later as one of ours.
///
/// # Errors
///
/// If another file stands there, or it cannot be written; what was there is as before then.
pub fn save(path: &Path, mark: &str, text: &str, overwrite: Overwrite) -> Result<(), Failure> {
    debug_assert!(text.starts_with(mark), "or it could not be replaced later");
    // What others link to stays where it is.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let cannot = |error| Failure::io(format!("cannot write {}", path.display()), error);
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(error)),
        // A device or a pipe would be replaced by a file.
        Ok(metadata) if !metadata.is_file() => {
            return Err(cannot(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file")));
        }
        Ok(_) => {
            let may = overwrite == Overwrite::Any || begins_with(path, mark).map_err(cannot)?;
            if !may {
                return Err(Failure::Exists { path: path.display().to_string() });
            }
        }
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = replace(path, &temporary, text);
    if written.is_err() {
        // It is of no use to anybody; if it cannot be removed either, the error says enough.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(cannot)
}

fn begins_with(path: &Path, mark: &str) -> io::Result<bool> {
    let mut beginning = Vec::with_capacity(mark.len());
    File::open(path)?.take(mark.len() as u64).read_to_end(&mut beginning)?;
    Ok(beginning == mark.as_bytes())
}

fn replace(path: &Path, temporary: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "ours:";

    #[test]
    fn only_what_is_ours_is_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("report.html");
        let save = |text, overwrite| save(&path, MARK, text, overwrite);
        save("ours: one", Overwrite::Ours).expect("new");
        save("ours: two", Overwrite::Ours).expect("ours");
        fs::write(&path, "somebody's").expect("writable");
        let refused = save("ours: three", Overwrite::Ours);
        assert!(matches!(refused, Err(Failure::Exists { .. })), "{refused:?}");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "somebody's");
        save("ours: four", Overwrite::Any).expect("forced");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "ours: four");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1, "nothing is left over");
    }

    #[test]
    fn a_device_or_a_directory_is_not_replaced_even_if_asked() {
        for path in ["/dev/null", "/tmp"] {
            let refused = save(Path::new(path), MARK, "ours:", Overwrite::Any);
            assert!(matches!(refused, Err(Failure::Io { .. })), "{refused:?}");
        }
    }
}
