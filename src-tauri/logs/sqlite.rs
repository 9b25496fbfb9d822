//! Clients' databases, read beside the client that writes them: never locked for long, never written, and never taken for empty because
//! they are busy.
//!
//! Another program may have put a database of its own there. So only real tables are read, no view and no virtual table; nothing of the
//! schema runs; sizes are limited; and a question that gives no row for a while is ended (sqlite.org/security.html).

use crate::regular::{self, Stop, open_regular};
use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
    types::ValueRef,
};
use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a client that writes is waited for. Beyond that the database is read at the next occasion.
const BUSY: Duration = Duration::from_secs(2);
/// The largest row that is read.
const ROW_BYTES_MAX: usize = 64 << 20;
/// How many bytes may come of each byte of a packed document, and how many of any: a database may have many of them.
const DOCUMENT_RATIO_MAX: usize = 100;
const DOCUMENT_FREE_BYTES: usize = 1 << 20;
/// The longest text that is read of a column.
const WORD_BYTES_MAX: usize = 4096;
/// The largest database that is copied because it cannot be read in place.
const COPY_BYTES_MAX: u64 = 2 << 30;
/// How long a question may run without giving a row.
const ROW_WAIT: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });
/// How many instructions of SQLite's run between two looks at the clock and at whether to stop.
const LOOK_EVERY_OPS: i32 = 10_000;
/// How many tables a database may have.
const TABLES_MAX: usize = 10_000;
/// How many rows of named columns are kept.
const NAMED_ROWS_MAX: usize = 1 << 20;
/// The limits of one connection (sqlite.org/limits.html). A text or blob is at most twice the largest row, so that such a row is passed
/// over rather than ending the reading.
const LIMITS: [(Limit, i32); 9] = [
    (Limit::SQLITE_LIMIT_LENGTH, 128 << 20),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 20),
    (Limit::SQLITE_LIMIT_COLUMN, 1_000),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 20),
    (Limit::SQLITE_LIMIT_VDBE_OP, 100_000),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What reading a database came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rows<E> {
    /// All rows were given, up to this one.
    Until(i64),
    /// None of the questions can be asked of it: it is another's, or of a schema that is not known.
    NotKnown,
    /// Whoever took the rows wants no more.
    Refused(E),
}

/// Takes a row: its number and its JSON.
pub(super) type Take<'t, E> = dyn FnMut(i64, &[u8]) -> Result<(), E> + 't;

/// Gives the rows after `after` that the first of the questions finds which the database can answer.
pub(super) fn rows<E>(path: &Path, queries: &[&str], after: i64, stop: &Stop, take: &mut Take<'_, E>) -> io::Result<Rows<E>> {
    in_place_or_copied(path, stop, &mut |path| read(path, queries, after, stop, take))
}

/// The rows that a question finds, each by the names of the columns that are wanted and there; none where the database cannot answer it.
pub(super) fn named(path: &Path, query: &str, wanted: &[&str], stop: &Stop) -> io::Result<Vec<HashMap<String, String>>> {
    in_place_or_copied(path, stop, &mut |path| {
        let (database, watchdog) = opened(path, &[query], stop)?;
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
            watchdog.gave_row();
            if found.len() >= NAMED_ROWS_MAX {
                break;
            }
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

fn in_place_or_copied<T>(path: &Path, stop: &Stop, read: &mut dyn FnMut(&Path) -> rusqlite::Result<T>) -> io::Result<T> {
    // SQLite opens its files itself, and would wait for a pipe.
    regular::regular(&path.metadata()?)?;
    for ending in ["-wal", "-shm", "-journal"] {
        match beside(path, ending).metadata() {
            Ok(facts) => regular::regular(&facts)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let told = |fault: rusqlite::Error| match stop.check() {
        Ok(()) => told(&fault),
        Err(stopped) => stopped,
    };
    match read(path) {
        // Where its folder cannot be written to, what was written ahead cannot be read in place.
        Err(fault) if fault.sqlite_error_code() == Some(ErrorCode::CannotOpen) && path.exists() => {
            let copy = copied(path, stop)?;
            read(&copy.path).map_err(told)
        }
        read => read.map_err(told),
    }
}

/// Ends a question that gives no row for too long, or that nobody waits for any more.
struct Watchdog {
    opened: Instant,
    last_row_ms: Arc<AtomicU64>,
}

impl Watchdog {
    fn guard(database: &mut Connection, stop: &Stop) -> rusqlite::Result<Watchdog> {
        let (opened, last_row_ms) = (Instant::now(), Arc::<AtomicU64>::default());
        let (stop, last_row) = (stop.clone(), last_row_ms.clone());
        let is_over = move || {
            let last_row = Duration::from_millis(last_row.load(Ordering::Relaxed));
            stop.is_asked() || opened.elapsed().saturating_sub(last_row) > ROW_WAIT
        };
        database.progress_handler(LOOK_EVERY_OPS, Some(is_over))?;
        Ok(Watchdog { opened, last_row_ms })
    }

    fn gave_row(&self) {
        let elapsed = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_row_ms.store(elapsed, Ordering::Relaxed);
    }
}

fn opened(path: &Path, queries: &[&str], stop: &Stop) -> rusqlite::Result<(Connection, Watchdog)> {
    // Not `immutable`, which would leave out what was written ahead.
    let mut database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let watchdog = Watchdog::guard(&mut database, stop)?;
    for (limit, most) in LIMITS {
        database.set_limit(limit, most)?;
    }
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    for off in [DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER] {
        database.set_db_config(off, false)?;
    }
    database.busy_timeout(BUSY)?;
    database.pragma_update(None, "query_only", true)?;
    database.pragma_update(None, "cell_size_check", true)?;
    database.pragma_update(None, "mmap_size", 0)?;
    // Asked once by itself, so that a busy or damaged database is not taken for one of another schema.
    let readable = Readable::of(&database)?;
    queries.iter().try_for_each(|query| readable.check(query))?;
    database.authorizer(Some(move |asked: AuthContext<'_>| readable.authorize(&asked)))?;
    Ok((database, watchdog))
}

/// What of a database may be read.
#[derive(Default)]
struct Readable {
    /// The tables that have rows of their own: neither views nor virtual tables.
    tables: HashSet<String>,
    /// Their generated columns, as table and column: reading one would run an expression of the schema.
    generated: HashSet<(String, String)>,
    /// Views and virtual tables.
    others: HashSet<String>,
}

impl Readable {
    fn of(database: &Connection) -> rusqlite::Result<Readable> {
        const TABLES: &str = "FROM sqlite_master m WHERE m.type = 'table' AND m.rootpage > 0 AND m.sql NOT LIKE 'create%virtual%table%'";
        let mut tables = database.prepare(&format!("SELECT lower(m.name) {TABLES} LIMIT {TABLES_MAX}"))?;
        let tables: HashSet<String> = tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let columns = "SELECT lower(m.name), lower(x.name), x.hidden";
        let from = TABLES.replacen(" WHERE", ", pragma_table_xinfo(m.name) x WHERE x.hidden IN (2, 3) AND", 1);
        let mut generated = database.prepare(&format!("{columns} {from} LIMIT {TABLES_MAX}"))?;
        let generated = generated.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let mut others =
            database.prepare(&format!("SELECT lower(name) FROM sqlite_master WHERE type IN ('table', 'view') LIMIT {TABLES_MAX}"))?;
        let others: HashSet<String> = others.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let others = others.difference(&tables).cloned().collect();
        Ok(Readable { tables, generated, others })
    }

    /// An error for a question that names a view or a virtual table.
    fn check(&self, query: &str) -> rusqlite::Result<()> {
        let mut names = query.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        if names.any(|name| self.others.contains(&name.to_ascii_lowercase())) {
            let denied = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_AUTH);
            return Err(rusqlite::Error::SqliteFailure(denied, None));
        }
        Ok(())
    }

    /// A question may read columns of real tables and call functions, and nothing else. A generated column has no value.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what SQLite may come to ask is denied")]
    fn authorize(&self, asked: &AuthContext<'_>) -> Authorization {
        // SQLite's own functions that give rows.
        const OF_JSON: [&str; 2] = ["json_each", "json_tree"];
        let is_fine = match asked.action {
            AuthAction::Select => true,
            AuthAction::Function { function_name } => function_name != "load_extension",
            AuthAction::Read { table_name, column_name } => {
                let (table, column) = (table_name.to_ascii_lowercase(), column_name.to_ascii_lowercase());
                let is_read = OF_JSON.contains(&table_name) || self.tables.contains(&table);
                if is_read && self.generated.contains(&(table, column)) {
                    return Authorization::Ignore;
                }
                is_read
            }
            _ => false,
        };
        if is_fine && asked.accessor.is_none() { Authorization::Allow } else { Authorization::Deny }
    }
}

fn read<E>(path: &Path, queries: &[&str], after: i64, stop: &Stop, take: &mut Take<'_, E>) -> rusqlite::Result<Rows<E>> {
    let (database, watchdog) = opened(path, queries, stop)?;
    for query in queries {
        let mut statement = match database.prepare(query) {
            Ok(statement) => statement,
            // Not a question to this schema.
            Err(fault) if is_of_another_schema(&fault) => continue,
            Err(fault) => return Err(fault),
        };
        let has_document = statement.column_count() > 2;
        let mut rows = statement.query([after])?;
        let mut until = after;
        while let Some(row) = rows.next()? {
            watchdog.gave_row();
            let number: i64 = row.get(0)?;
            until = until.max(number);
            let (ValueRef::Text(json), document) = (row.get_ref(1)?, if has_document { bytes(row.get_ref(2)?) } else { None }) else {
                continue;
            };
            if json.len() > ROW_BYTES_MAX {
                continue;
            }
            let taken = match document {
                _ if !has_document => take(number, json),
                Some(document) => take(number, &[b"{\"row\":", json, b",\"document\":", &document, b"}"].concat()),
                None => continue,
            };
            if let Err(refused) = taken {
                return Ok(Rows::Refused(refused));
            }
        }
        return Ok(Rows::Until(until));
    }
    Ok(Rows::NotKnown)
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
    let most = ROW_BYTES_MAX.min(DOCUMENT_FREE_BYTES + packed.len().saturating_mul(DOCUMENT_RATIO_MAX));
    let mut document = Vec::new();
    let unpacked = zstd::stream::read::Decoder::new(packed).and_then(|source| source.take(most as u64 + 1).read_to_end(&mut document));
    unpacked.ok().filter(|bytes| *bytes <= most).map(|_| document)
}

struct Copied {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

fn copied(path: &Path, stop: &Stop) -> io::Result<Copied> {
    let folder = tempfile::tempdir()?;
    let mut left = COPY_BYTES_MAX;
    let mut copy = |from: &Path, name: &str| {
        let mut from = match open_regular(from).and_then(|file| file.at_most(left)) {
            Ok(from) => from.until(stop.clone()),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(io::Error::new(error.kind(), "cannot be read in place, and is too large to be copied"));
            }
            Err(error) => return Err(error),
        };
        left -= io::copy(&mut from, &mut fs::File::create(folder.path().join(name))?)?;
        Ok(())
    };
    copy(path, "copy.db")?;
    match copy(&beside(path, "-wal"), "copy.db-wal") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    Ok(Copied { path: folder.path().join("copy.db"), _folder: folder })
}

/// A file that SQLite keeps beside a database.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn told(fault: &rusqlite::Error) -> io::Error {
    match fault.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => io::Error::new(io::ErrorKind::WouldBlock, fault.to_string()),
        Some(ErrorCode::OperationInterrupted) => {
            io::Error::new(io::ErrorKind::TimedOut, format!("the database gave no row for {} s", ROW_WAIT.as_secs()))
        }
        Some(ErrorCode::AuthorizationForStatementDenied) => {
            io::Error::other("only real tables are read, and a view or virtual table is in the place of one")
        }
        _ => io::Error::other(fault.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: [&str; 2] =
        ["SELECT id, json_object('x', missing) FROM t WHERE id > ?1", "SELECT id, json_object('x', x) FROM t WHERE id > ?1"];

    fn read_all(path: &Path, after: i64) -> io::Result<(Rows<()>, Vec<String>)> {
        let mut found = Vec::new();
        let rows = rows(path, &QUERY, after, &Stop::default(), &mut |_, bytes| {
            found.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(())
        })?;
        Ok((rows, found))
    }

    #[test]
    fn case_28_busy_is_not_empty_and_what_was_written_ahead_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let writer = Connection::open(&path).expect("a database");
        writer
            .execute_batch("PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (1,'a'),(2,'b')")
            .expect("made");
        assert_eq!(read_all(&path, 0).expect("read"), (Rows::Until(2), vec![r#"{"x":"a"}"#.into(), r#"{"x":"b"}"#.into()]));
        assert_eq!(read_all(&path, 2).expect("read"), (Rows::Until(2), vec![]));
        writer.execute_batch("PRAGMA journal_mode=delete; BEGIN EXCLUSIVE").expect("locked");
        assert_eq!(read_all(&path, 0).expect_err("busy").kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_is_no_database_of_the_client_is_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join("b.db");
        Connection::open(&other).expect("a database").execute_batch("CREATE TABLE u(id)").expect("made");
        assert_eq!(read_all(&other, 0).expect("read").0, Rows::NotKnown);
        let noise = folder.path().join("c.db");
        fs::write(&noise, [7; 5000]).expect("written");
        assert!(read_all(&noise, 0).is_err());
    }

    #[test]
    fn view_and_virtual_table_are_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)";
        for (name, sql) in [
            ("view", format!("CREATE VIEW t AS {endless} SELECT n AS id, n AS x FROM c")),
            ("counting", format!("CREATE VIEW t AS {endless} SELECT count(*) AS id, 1 AS x FROM c")),
            ("bomb", "CREATE VIEW t AS SELECT 1 AS id, hex(zeroblob(500000000)) AS x".to_owned()),
            ("virtual", "CREATE VIRTUAL TABLE t USING fts5(id, x)".to_owned()),
        ] {
            let path = folder.path().join(name);
            if let Err(error) = Connection::open(&path).expect("a database").execute_batch(&sql) {
                assert!(name == "virtual" && error.to_string().contains("no such module"), "{error}");
                continue;
            }
            let begun = Instant::now();
            let error = read_all(&path, 0).expect_err(name).to_string();
            assert!(error.contains("only real tables are read"), "{name}: {error}");
            assert!(begun.elapsed() < Duration::from_secs(1), "{name}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn generated_column_has_no_value() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, y, x AS (upper(y))); INSERT INTO t(id, y) VALUES (1, 'a')";
        Connection::open(&path).expect("a database").execute_batch(sql).expect("made");
        assert_eq!(read_all(&path, 0).expect("read"), (Rows::Until(1), vec![r#"{"x":null}"#.into()]));
    }

    #[test]
    fn slow_database_is_ended_by_deadline_and_stop() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, x); WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 100000) \
            INSERT INTO t SELECT n, n FROM c";
        Connection::open(&path).expect("a database").execute_batch(sql).expect("made");
        let query = ["SELECT a.id, a.x FROM t a, t b WHERE a.id > ?1 AND a.x + b.x < 0"];
        let begun = Instant::now();
        let error = rows::<()>(&path, &query, 0, &Stop::default(), &mut |_, _| Ok(())).expect_err("ended");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(begun.elapsed() < ROW_WAIT * 2, "{:?}", begun.elapsed());
        let stop = Stop::default();
        let asking = stop.clone();
        let asker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            asking.ask();
        });
        let begun = Instant::now();
        assert!(rows::<()>(&path, &query, 0, &stop, &mut |_, _| Ok(())).expect_err("stopped").to_string().contains("stopped"));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        asker.join().expect("asked");
    }

    #[cfg(unix)]
    #[test]
    fn database_with_pipe_beside_it_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        Connection::open(&path).expect("a database").execute_batch("PRAGMA journal_mode=wal; CREATE TABLE t(id, x)").expect("made");
        let pipe = |path: &Path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        };
        pipe(&beside(&path, "-wal"));
        assert!(read_all(&path, 0).expect_err("refused").to_string().contains("a named pipe"));
        pipe(&folder.path().join("b.db"));
        assert!(read_all(&folder.path().join("b.db"), 0).expect_err("refused").to_string().contains("a named pipe"));
    }
}
