//! OpenCode's case, and what its forks and steps say again.

use super::*;

#[test]
fn case_22_opencodes_databases_and_its_tree_of_files_are_one() {
    let mut house = House::of(Client::OpenCode);
    let insert = |id: &str, output: u64| format!("INSERT INTO message VALUES ('{id}', 's', '{}');", message(output));
    let one = house.database(
        "opencode.db",
        &[OPENCODE, "INSERT INTO session VALUES ('s', '/gone/api');", &insert("m1", 1), &insert("m2", 2)].concat(),
    );
    house.database(
        "opencode-dev.db",
        &["CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT, data TEXT);", &insert("m3", 3)].concat(),
    );
    house.database("other.db", "CREATE TABLE kv(k, v)");
    house.write("storage/message/s/m2.json", message(2).replacen('{', r#"{"id":"m2","sessionID":"s","#, 1));
    house.write("storage/message/s/m4.json", message(4).replacen('{', r#"{"id":"m4","sessionID":"s","#, 1));
    assert_eq!(house.import().skipped, []);
    assert_eq!(house.sums(), [400, 40, 4, 1 + 2 + 3 + 4]);
    let m1 = house.ledger.values().find(|usage| usage.tokens.output == 1).expect("read");
    assert_eq!((m1.session.as_deref(), m1.project.as_ref().map(|it| it.name.as_str())), (Some("s"), Some("api")));
    assert_eq!(house.import().bytes_read, 0, "as they were");
    // A row is written before it counts anything, and another comes; both stand in what is written ahead.
    let begun = r#"{"role":"assistant","time":{"created":1771083156415},"modelID":"glm-5","tokens":{"input":0,"output":0,"cache":{"read":0,"write":0}}}"#;
    one.execute_batch(&format!("INSERT INTO message VALUES ('m6', 's', '{begun}')")).expect("written");
    house.import();
    one.execute_batch(&format!("UPDATE message SET data = '{}' WHERE id = 'm6'; {}", message(6), insert("m5", 5))).expect("written");
    house.import();
    assert_eq!(house.outputs(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_a_fork_of_opencodes_copies_under_new_ids_is_told_once_in_whatever_order_and_when_either_is_gone() {
    let schema =
        "CREATE TABLE session(id TEXT PRIMARY KEY, directory TEXT, time_created INTEGER); CREATE TABLE part(id, message_id, data TEXT);
        CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT, data TEXT);
        INSERT INTO session VALUES ('ses_2', '/gone/api', 1771083150000), ('ses_1', '/gone/api', 1771083999000);";
    let insert = |id: &str, session: &str, created: &str, output: u64| {
        format!("INSERT INTO message VALUES ('{id}', '{session}', '{}');", message(output).replace("1771083156415", created))
    };
    let copies = [insert("c1", "ses_1", "1771083156415", 1), insert("c2", "ses_1", "1771083157000", 2)].concat();
    let rows = [
        insert("m1", "ses_2", "1771083156415", 1),
        insert("m2", "ses_2", "1771083157000", 2),
        copies.clone(),
        // Two agents began at once.
        insert("m3", "ses_2", "1771083158000", 3),
        insert("m4", "ses_2", "1771083158000", 4),
        insert("c3", "ses_1", "1771084000000", 5),
    ];
    let mut house = House::of(Client::OpenCode);
    let database = house.database("opencode.db", &[schema, &copies].concat());
    // The fork is read before what it copied is there, as from a folder that was brought back.
    house.import();
    assert_eq!(house.outputs(), [1, 2]);
    database.execute_batch(&format!("DELETE FROM message; {}", rows.concat())).expect("written");
    house.import();
    assert_eq!(house.outputs(), [1, 2, 3, 4, 5]);
    let sessions: Vec<_> = house.ledger.values().map(|usage| usage.session.as_deref()).collect();
    assert_eq!(sessions, [Some("ses_2"), Some("ses_2"), Some("ses_2"), Some("ses_2"), Some("ses_1")], "of the session that made the call");
    database.execute_batch("DELETE FROM message WHERE session_id = 'ses_2'; DELETE FROM session WHERE id = 'ses_2'").expect("gone");
    house.cursors = Cursors::default();
    house.import();
    assert_eq!(house.outputs(), [1, 2, 3, 4, 5]);
}

#[test]
fn what_the_steps_of_a_message_used_counts_where_the_message_does_not_say_it() {
    let step = |output: u64| {
        format!(
            r#"{{"type":"step-finish","cost":0.25,"tokens":{{"input":7,"output":{output},"reasoning":1,"cache":{{"read":5,"write":2}}}}}}"#
        )
    };
    let silent = r#"{"role":"assistant","time":{"created":1771083156999},"modelID":"glm-5","providerID":"zai","cost":0,"tokens":{"input":0,"output":0,"cache":{"read":0,"write":0}}}"#;
    let mut house = House::of(Client::OpenCode);
    let database = house.database("opencode.db", OPENCODE);
    let said = message(3);
    database
        .execute_batch(&format!(
            "ALTER TABLE session ADD time_created INTEGER; CREATE TABLE part(id, message_id, session_id, data TEXT);
            INSERT INTO message VALUES ('m1', 's', '{silent}'), ('m2', 's', '{said}');
            INSERT INTO part VALUES ('p1', 'm1', 's', '{}'), ('p2', 'm1', 's', '{}'), ('p3', 'm1', 's', '{{\"type\":\"text\"}}'), ('p4', 'm2', 's', '{}')",
            step(10),
            step(20),
            step(99)
        ))
        .expect("made");
    house.import();
    assert_eq!(house.sums(), [14 + 100, 10 + 10, 4 + 1, 11 + 21 + 3]);
    let costs: Vec<_> = house.ledger.values().map(|usage| usage.reported_cost).collect();
    assert_eq!(costs, ["0.5".parse().ok(), "0.5".parse().ok()]);
    // The same of an exported session.
    let mut house = House::of(Client::OpenCode);
    let export = format!(
        r#"{{"info":{{"id":"s"}},"messages":[{{"info":{},"parts":[{},{{"type":"text"}},{}]}},{{"info":{},"parts":[{}]}}]}}"#,
        silent.replacen('{', r#"{"id":"m1","#, 1),
        step(10),
        step(20),
        said.replacen('{', r#"{"id":"m2","#, 1),
        step(99)
    );
    house.write("ses_s.json", export);
    house.import();
    assert_eq!(house.sums(), [14 + 100, 10 + 10, 4 + 1, 11 + 21 + 3]);
}
