//! A request that is a form of several parts (RFC 7578), as those that send a sound or a picture are.

use memchr::memmem;

/// The longest value that is read.
const VALUE_BYTES_MAX: usize = 160;

/// The text that a field was given, as far as it is among these bytes.
pub(super) fn field(bytes: &[u8], name: &str) -> Option<String> {
    let quoted = format!("name=\"{name}\"");
    let after = memmem::find_iter(bytes, &quoted).find_map(|at| {
        // The rest of the line, and of the part's head.
        let rest = &bytes[at + quoted.len()..];
        let value = &rest[memmem::find(rest, b"\r\n\r\n")? + 4..];
        let end = memchr::memchr(b'\r', &value[..value.len().min(VALUE_BYTES_MAX)])?;
        std::str::from_utf8(&value[..end]).ok()
    })?;
    (!after.is_empty()).then(|| after.to_owned())
}

/// The beginning of the file that is sent.
pub(super) fn file(bytes: &[u8]) -> Option<&[u8]> {
    let head = &bytes[memmem::find(bytes, b"filename=")?..];
    Some(&head[memmem::find(head, b"\r\n\r\n")? + 4..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_files_by_having_one() {
        let form = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b--\r\n";
        assert_eq!(field(form, "model").as_deref(), Some("whisper-1"));
        assert_eq!((field(form, "language"), field(&form[..form.len() - 18], "model")), (None, None));
        assert!(file(form).is_some_and(|file| file.starts_with(b"RIFF\r\n")));
        assert_eq!(file(b"{}"), None);
    }
}
