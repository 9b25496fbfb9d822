//! What each client writes, by hand after the reference.

use super::{AT, Client, ROLLOUT, count, message, meta, record, settings, turn};

/// A log of each client in the form that it mostly has, by hand after the reference: its place, its lines, and what they come to.
pub(super) fn samples() -> Vec<(Client, &'static str, Vec<String>, [u64; 4])> {
    let row = |text: &str| text.to_owned() + "\n";
    vec![
        (
            Client::Codex,
            ROLLOUT,
            vec![
                meta("t", ""),
                turn("gpt-5"),
                count(AT, 10, 10, 1),
                count(AT, 10, 10, 1),
                record("r", 4),
                count(AT, 4, 14, 2),
                count(AT, 9, 23, 3),
            ],
            [23, 0, 0, 3],
        ),
        (
            Client::GeminiCli,
            "tmp/shop/chats/session-a.jsonl",
            vec![
                row(r#"{"sessionId":"s","projectHash":"x","startTime":"2026-06-03T18:12:00Z"}"#),
                row(
                    r#"{"id":"g-1","timestamp":"2026-06-03T18:12:38.058Z","type":"gemini","tokens":{"input":10,"output":1,"cached":0,"thoughts":0,"tool":0,"total":11},"model":"gemini-3-flash-preview"}"#,
                ),
                row(
                    r#"{"$set":{"messages":[{"id":"g-1","timestamp":"2026-06-03T18:12:38.058Z","type":"gemini","tokens":{"input":17256,"output":26,"cached":0,"thoughts":133,"tool":0,"total":17415},"model":"gemini-3-flash-preview"}],"lastUpdated":"x"}}"#,
                ),
            ],
            [17_256, 0, 0, 159],
        ),
        (
            Client::CopilotCli,
            "session-state/s/events.jsonl",
            vec![
                row(r#"{"type":"session.start","data":{"context":{"cwd":"/gone/api"}},"timestamp":"2026-04-15T10:05:00Z"}"#),
                row(r#"{"type":"assistant.message","data":{"outputTokens":9},"timestamp":"2026-04-15T10:05:01Z"}"#),
                row(
                    r#"{"type":"session.shutdown","data":{"modelMetrics":{"m":{"usage":{"inputTokens":20,"outputTokens":10,"cacheReadTokens":5,"cacheWriteTokens":1}}}},"timestamp":"2026-04-15T10:05:02Z"}"#,
                ),
            ],
            [14, 5, 1, 10],
        ),
        (
            Client::Pi,
            "sessions/x/a.jsonl",
            vec![
                row(r#"{"type":"session","id":"s","cwd":"/gone/api"}"#),
                row(r#"{"type":"model_change","provider":"openai","modelId":"gpt-5.4"}"#),
                row(
                    r#"{"type":"message","id":"a","timestamp":"2026-04-22T01:02:03.000Z","message":{"role":"assistant","usage":{"input":100,"output":50,"cacheRead":10,"cacheWrite":20,"totalTokens":180,"cost":{"total":0.05}}}}"#,
                ),
                row(
                    r#"{"type":"message","timestamp":"2026-04-22T01:02:04.000Z","message":{"role":"assistant","provider":"x","model":"y","usage":{"input":1,"output":2}}}"#,
                ),
            ],
            [101, 10, 20, 52],
        ),
        (
            Client::Qwen,
            "projects/p/chats/a.jsonl",
            vec![
                row(
                    r#"{"uuid":"u","sessionId":"s","timestamp":"2026-01-12T09:00:01Z","model":"coder-model","usageMetadata":{"promptTokenCount":500,"candidatesTokenCount":20,"thoughtsTokenCount":0,"totalTokenCount":520}}"#,
                ),
                row(
                    r#"{"type":"system","subtype":"ui_telemetry","systemPayload":{"uiEvent":{"event.name":"qwen-code.api_response","input_token_count":500,"output_token_count":20}}}"#,
                ),
            ],
            [500, 0, 0, 20],
        ),
        (
            Client::Kimi,
            "sessions/hash/session/wire.jsonl",
            vec![
                row(
                    r#"{"timestamp":1770983426.42,"message":{"type":"StatusUpdate","payload":{"message_id":"chatcmpl-1","token_usage":{"input_other":15,"output":2,"input_cache_read":0,"input_cache_creation":0}}}}"#,
                ),
                row(
                    r#"{"timestamp":1770983427,"message":{"type":"StatusUpdate","payload":{"message_id":"chatcmpl-1","token_usage":{"input_other":1562,"output":2463,"input_cache_read":0,"input_cache_creation":0}}}}"#,
                ),
                row(r#"{"type":"llm.request","model":"kimi-k2.6","time":1770983428000}"#),
                row(
                    r#"{"type":"usage.record","model":"kimi-for-coding","usage":{"inputOther":1,"output":2,"inputCacheRead":3,"inputCacheCreation":4},"usageScope":"turn","time":1770983429000}"#,
                ),
            ],
            [1563, 3, 4, 2465],
        ),
        (
            Client::Grok,
            "sessions/cwd/uuid/updates.jsonl",
            vec![
                row(
                    r#"{"timestamp":1786724773,"method":"_x.ai/session/update","params":{"sessionId":"s","update":{"sessionUpdate":"turn_completed","prompt_id":"p","usage":{"inputTokens":100,"outputTokens":7,"cachedReadTokens":60,"cacheCreationTokens":0,"reasoningTokens":3}},"_meta":{"eventId":"event-1","agentTimestampMs":1786724773589}}}"#,
                ),
                row(
                    r#"{"timestamp":1786724774,"params":{"sessionId":"s","update":{"sessionUpdate":"turn_completed","prompt_id":"p","usage":{"inputTokens":110,"outputTokens":8,"cachedReadTokens":60}}}}"#,
                ),
            ],
            [50, 60, 0, 8],
        ),
        (
            Client::Aider,
            "analytics.jsonl",
            vec![
                row(r#"{"event": "launched", "properties": {}, "time": 1768208400}"#),
                row(
                    r#"{"event": "message_send", "properties": {"main_model": "openai/gpt-4o-mini", "prompt_tokens": 809, "completion_tokens": 13, "total_tokens": 822, "cost": 0.00012915}, "time": 1768208407}"#,
                ),
            ],
            [809, 0, 0, 13],
        ),
    ]
}

/// The same for documents and tables, which are rewritten whole.
pub(super) fn documents() -> Vec<(Client, &'static str, String, [u64; 4])> {
    let ui = r#"[{"type":"say","say":"text","ts":1},{"type":"say","say":"api_req_started","ts":1700000001000,"text":"{\"cost\":0.01,\"tokensIn\":100,\"tokensOut\":50,\"cacheReads\":30,\"cacheWrites\":0,\"apiProtocol\":\"anthropic\"}"},{"type":"say","say":"api_req_started","ts":1700000002000,"text":"{\"tokensIn\":100,\"tokensOut\":5,\"cacheReads\":30,\"cacheWrites\":0,\"apiProtocol\":\"openai\"}"}]"#;
    let cline = r#"{"messages":[{"role":"user"},{"id":"m1","ts":1700000001000,"metrics":{"inputTokens":10,"outputTokens":2,"cacheReadTokens":3,"cacheWriteTokens":4,"cost":0.5},"modelInfo":{"id":"claude-x"}}]}"#;
    let amp_old = r#"{"id":"T-1","usageLedger":{"events":[{"id":"event-a","timestamp":"2026-05-01T01:02:03.000Z","model":"claude-sonnet-4-20250514","credits":1.25,"tokens":{"input":100,"output":50},"toMessageId":2}]},"messages":[{"messageId":2,"usage":{"model":"claude-sonnet-4-20250514","inputTokens":100,"outputTokens":50,"cacheCreationInputTokens":7,"cacheReadInputTokens":8}}]}"#;
    let amp_new = r#"{"id":"T-2","messages":[{"messageId":2,"usage":{"model":"gpt-5","timestamp":"2026-05-01T01:02:03.000Z","inputTokens":1,"outputTokens":50,"cacheCreationInputTokens":7,"cacheReadInputTokens":8}}]}"#;
    let csv = "Date,Model,Max Mode,Input (w/ Cache Write),Input (w/o Cache Write),Cache Read,Output Tokens,Cost\n\"2026-05-01T01:02:03.000Z\",claude-4-sonnet,No,\"1,000\",20,300,4,Included\n2026-05-02T01:02:03.000Z,gpt-5,No,0,20,300,4,$0.12\n";
    let json = r#"{"sessionId":"s","messages":[{"id":"a","timestamp":"2026-01-15T20:51:52.837Z","type":"gemini","model":"gemini-2.5-flash","tokens":{"input":12207,"output":105,"cached":2558,"thoughts":153,"tool":0,"total":12465}}]}"#;
    vec![
        (Client::Cline, "tasks/1/ui_messages.json", ui.to_owned(), [170, 60, 0, 55]),
        (Client::Cline, "sessions/s/s.messages.json", cline.to_owned(), [10, 3, 4, 2]),
        (Client::Amp, "threads/T-1.json", amp_old.to_owned(), [100, 8, 7, 50]),
        (Client::Amp, "threads/T-2.json", amp_new.to_owned(), [8, 8, 0, 50]),
        (Client::Cursor, "usage.csv", csv.to_owned(), [40, 600, 1000, 8]),
        (Client::GeminiCli, "tmp/a/chats/session-a.json", json.to_owned(), [9649, 2558, 0, 258]),
        (Client::Droid, "sessions/a/b.settings.json", settings(100, 50), [100, 10, 20, 50]),
        (Client::OpenCode, "storage/message/s/m.json", message(3).replacen('{', r#"{"id":"m","#, 1), [100, 10, 1, 3]),
    ]
}
