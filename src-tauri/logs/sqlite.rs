//! Clients' databases, read beside the client that writes them: never locked for long, never written, and never taken for empty because
//! they are busy.

use rusqlite::{Connection, ErrorCode, OpenFlags, types::ValueRef};
use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a client that writes is waited for. Beyond that the database is read at the next occasion.
const BUSY: Duration = Duration::from_secs(2);
/// The largest row that is read.
const ROW_BYTES_MAX: usize = 64 << 20;
/// The longest text that is read of a column.
const WORD_BYTES_MAX: usize = 4096;
/// The largest database that is copied because it cannot be read in place.
const COPY_BYTES_MAX: u64 = 2 << 30;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How many names of tables are given where none is known.
const TABLES_NAMED_MAX: usize = 8;

/// A table of a client's and the questions that it answers, those of the newest schema first.
///
/// Each question takes the row after which to begin. It gives the row's number, its JSON, and perhaps a packed document.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) queries: &'static [&'static str],
}

/// What reading a database came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rows<E> {
    /// All rows were given that could be.
    Read(WasRead),
    /// Whoever took the rows wants no more.
    Refused(E),
}

/// What was read of a database.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WasRead {
    /// The last row of each table.
    pub(super) until: Vec<i64>,
    /// What was not read, each as a reason.
    pub(super) not_read: Vec<String>,
    /// None of the tables is there. It is another's database, or of a schema that is not known; empty where it has no tables.
    pub(super) not_known: Option<Vec<String>>,
}

/// Takes a row: its number and its JSON.
pub(super) type Take<'t, E> = dyn FnMut(i64, &[u8]) -> Result<(), E> + 't;

/// Gives the rows of each table after its `after` that the first of the questions finds which the table can answer.
pub(super) fn rows<E>(path: &Path, tables: &[Table], after: &[i64], take: &mut Take<'_, E>) -> io::Result<Rows<E>> {
    in_place_or_copied(path, &mut |path| read(path, tables, after, take))
}

/// Tables beside the known ones that have rows with counts of tokens in a column `data`, and how many rows those are.
pub(super) fn other_tables_with_tokens(path: &Path, known: &[&str]) -> io::Result<Vec<(String, u64)>> {
    in_place_or_copied(path, &mut |path| {
        let database = opened(path)?;
        let mut found = Vec::new();
        // Events repeat what the tables say.
        let others = names(&database)?.into_iter().filter(|name| !known.contains(&name.as_str()) && !name.contains("event"));
        for name in others {
            let query = format!("SELECT count(*) FROM {} WHERE instr(data, '\"tokens\"') > 0", quoted(&name));
            match database.query_row(&query, [], |row| row.get::<_, i64>(0)) {
                Ok(0) => {}
                Ok(rows) => found.push((name, rows.unsigned_abs())),
                Err(fault) if is_of_another_schema(&fault) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(found)
    })
}

fn names(database: &Connection) -> rusqlite::Result<Vec<String>> {
    let query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut statement = database.prepare(query)?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The rows that a question finds, each by the names of the columns that are wanted and there; none where the database cannot answer it.
pub(super) fn named(path: &Path, query: &str, wanted: &[&str]) -> io::Result<Vec<HashMap<String, String>>> {
    in_place_or_copied(path, &mut |path| {
        let database = opened(path)?;
        let mut statement = match database.prepare(query) {
            Ok(statement) => statement,
            Err(fault) if is_of_another_schema(&fault) => return Ok(Vec::new()),
            Err(fault) => return Err(fault),
        };
        let names = statement.column_names().enumerate();
        let columns: Vec<(usize, String)> =
            names.filter(|(_, name)| wanted.contains(name)).map(|(at, name)| (at, name.to_owned())).collect();
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let value = |(at, name): &(usize, String)| Some((name.clone(), word(row.get_ref(*at).ok()?)?));
            found.push(columns.iter().filter_map(value).collect());
        }
        Ok(found)
    })
}

/// A number or a short text, as text.
fn word(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Text(bytes) if bytes.len() <= WORD_BYTES_MAX => std::str::from_utf8(bytes).ok().map(str::to_owned),
        ValueRef::Text(_) | ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => None,
    }
}

fn in_place_or_copied<T>(path: &Path, read: &mut dyn FnMut(&Path) -> rusqlite::Result<T>) -> io::Result<T> {
    match read(path) {
        // Where its folder cannot be written to, what was written ahead cannot be read in place.
        Err(fault) if fault.sqlite_error_code() == Some(ErrorCode::CannotOpen) && path.exists() => {
            let copy = copied(path)?;
            read(&copy.path).map_err(|fault| told(&fault))
        }
        read => read.map_err(|fault| told(&fault)),
    }
}

fn opened(path: &Path) -> rusqlite::Result<Connection> {
    // Not `immutable`, which would leave out what was written ahead.
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    database.busy_timeout(BUSY)?;
    database.pragma_update(None, "query_only", true)?;
    // Asked once by itself, so that a busy or damaged database is not taken for one of another schema.
    database.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(database)
}

fn read<E>(path: &Path, tables: &[Table], after: &[i64], take: &mut Take<'_, E>) -> rusqlite::Result<Rows<E>> {
    let database = opened(path)?;
    let present = names(&database)?;
    let mut read = WasRead::default();
    if !present.is_empty() && !tables.iter().any(|table| present.iter().any(|name| name == table.name)) {
        read.not_known = Some(present.iter().take(TABLES_NAMED_MAX).cloned().collect());
    }
    for (at, table) in tables.iter().enumerate() {
        let after = after.get(at).copied().unwrap_or(0);
        let until = match rows_of(&database, table.queries, after, take)? {
            Ok(Some((until, broken))) => {
                if broken > 0 {
                    read.not_read.push(format!("{broken} rows of the table {} are damaged, or too large", table.name));
                }
                until
            }
            Ok(None) => {
                if present.iter().any(|name| name == table.name) {
                    let count = format!("SELECT count(*) FROM {}", quoted(table.name));
                    let rows: i64 = database.query_row(&count, [], |row| row.get(0))?;
                    if rows > 0 {
                        read.not_read
                            .push(format!("the table {} has columns that are not known; its {rows} rows were not read", table.name));
                    }
                }
                after
            }
            Err(refused) => return Ok(Rows::Refused(refused)),
        };
        read.until.push(until);
    }
    Ok(Rows::Read(read))
}

/// The last row, and how many rows could not be read; none where no question can be asked.
type Until = Option<(i64, u64)>;

fn rows_of<E>(database: &Connection, queries: &[&str], after: i64, take: &mut Take<'_, E>) -> rusqlite::Result<Result<Until, E>> {
    for query in queries {
        let mut statement = match database.prepare(query) {
            Ok(statement) => statement,
            // Not a question to this schema.
            Err(fault) if is_of_another_schema(&fault) => continue,
            Err(fault) => return Err(fault),
        };
        let has_document = statement.column_count() > 2;
        let mut rows = statement.query([after])?;
        let (mut until, mut broken) = (after, 0);
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            until = until.max(number);
            let json = match row.get_ref(1)? {
                ValueRef::Text(json) if json.len() <= ROW_BYTES_MAX => json,
                ValueRef::Text(_) | ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => {
                    broken += 1;
                    continue;
                }
            };
            let taken = if has_document {
                let Some(document) = bytes(row.get_ref(2)?) else {
                    broken += 1;
                    continue;
                };
                take(number, &[b"{\"row\":", json, b",\"document\":", &document, b"}"].concat())
            } else {
                take(number, json)
            };
            if let Err(refused) = taken {
                return Ok(Err(refused));
            }
        }
        return Ok(Ok(Some((until, broken))));
    }
    Ok(Ok(None))
}

/// A table or a column that is not there: SQLite's plainest error, as one kind or the other.
fn is_of_another_schema(fault: &rusqlite::Error) -> bool {
    matches!(fault, rusqlite::Error::SqlInputError { .. }) || fault.sqlite_error_code() == Some(ErrorCode::Unknown)
}

/// A document in a column, unpacked; `None` where there is none, or a larger one than is read.
fn bytes(value: ValueRef<'_>) -> Option<Vec<u8>> {
    let packed = match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => return None,
    };
    if !packed.starts_with(&ZSTD_MAGIC) {
        return (packed.len() <= ROW_BYTES_MAX).then(|| packed.to_vec());
    }
    let mut document = Vec::new();
    let unpacked =
        zstd::stream::read::Decoder::new(packed).and_then(|source| source.take(ROW_BYTES_MAX as u64 + 1).read_to_end(&mut document));
    unpacked.ok().filter(|bytes| *bytes <= ROW_BYTES_MAX).map(|_| document)
}

struct Copied {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

fn copied(path: &Path) -> io::Result<Copied> {
    if path.metadata()?.len() > COPY_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "cannot be read in place, and is too large to be copied"));
    }
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("copy.db");
    fs::copy(path, &copy)?;
    let ahead = beside(path, "-wal");
    if ahead.exists() {
        fs::copy(ahead, folder.path().join("copy.db-wal"))?;
    }
    Ok(Copied { path: copy, _folder: folder })
}

/// A file that SQLite keeps beside a database.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn told(fault: &rusqlite::Error) -> io::Error {
    let kind = match fault.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => io::ErrorKind::WouldBlock,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [Table; 1] = [Table {
        name: "t",
        queries: &["SELECT id, json_object('x', missing) FROM t WHERE id > ?1", "SELECT id, json_object('x', x) FROM t WHERE id > ?1"],
    }];

    fn read_all(path: &Path, after: i64) -> io::Result<(WasRead, Vec<String>)> {
        let mut found = Vec::new();
        let rows = rows::<()>(path, &TABLES, &[after], &mut |_, bytes| {
            found.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(())
        })?;
        match rows {
            Rows::Read(read) => Ok((read, found)),
            Rows::Refused(()) => unreachable!("nothing is refused"),
        }
    }

    fn until(row: i64) -> WasRead {
        WasRead { until: vec![row], ..WasRead::default() }
    }

    #[test]
    fn case_28_busy_is_not_empty_and_what_was_written_ahead_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let writer = Connection::open(&path).expect("a database");
        writer
            .execute_batch("PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (1,'a'),(2,'b')")
            .expect("made");
        assert_eq!(read_all(&path, 0).expect("read"), (until(2), vec![r#"{"x":"a"}"#.into(), r#"{"x":"b"}"#.into()]));
        assert_eq!(read_all(&path, 2).expect("read"), (until(2), vec![]));
        writer.execute_batch("PRAGMA journal_mode=delete; BEGIN EXCLUSIVE").expect("locked");
        assert_eq!(read_all(&path, 0).expect_err("busy").kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_is_no_database_of_the_client_is_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join("b.db");
        Connection::open(&other).expect("a database").execute_batch("CREATE TABLE u(id)").expect("made");
        assert_eq!(read_all(&other, 0).expect("read").0.not_known, Some(vec!["u".to_owned()]));
        Connection::open(&other).expect("a database").execute_batch("CREATE TABLE t(y); INSERT INTO t VALUES (1)").expect("made");
        let read = read_all(&other, 0).expect("read").0;
        assert!(read.not_known.is_none() && read.not_read[0].contains("its 1 rows were not read"), "{read:?}");
        let empty = folder.path().join("d.db");
        Connection::open(&empty).expect("a database").execute_batch("PRAGMA user_version = 1").expect("made");
        assert_eq!(read_all(&empty, 0).expect("read").0, until(0), "no tables, no calls");
        let noise = folder.path().join("c.db");
        fs::write(&noise, [7; 5000]).expect("written");
        assert!(read_all(&noise, 0).is_err());
    }
}
