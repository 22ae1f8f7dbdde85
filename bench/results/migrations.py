"""The schema of the result file, as a list of numbered steps. Never edit a released step: append one.

run -> cell -> item -> step is what was asked and what came out; scores point at items and can be made anew; latency
samples and memory readings stand in tables of their own, so that no query over accuracy can meet them by mistake.
"""

from __future__ import annotations

APPLICATION_ID = 0x74_67_61_31  # "tga1", in the header of every result file

_001_INITIAL = (
    """
    CREATE TABLE run (
        id             INTEGER PRIMARY KEY,
        plan_key       TEXT NOT NULL,           -- hash of all item keys: the same command has the same plan
        config         TEXT NOT NULL,           -- JSON, bench.run.plan.RunConfig
        argv           TEXT NOT NULL,           -- JSON list
        versions       TEXT NOT NULL,           -- JSON object: toolgauge, python, llama-cpp-python, llguidance, ...
        host           TEXT NOT NULL,           -- JSON object: os, cpu, memory_bytes, gpu, driver, ...
        llama_build    TEXT,                    -- as the first worker reported it
        seed           INTEGER NOT NULL,
        n_items        INTEGER NOT NULL,        -- planned, accuracy pass
        n_samples      INTEGER NOT NULL,        -- planned, latency pass
        created_utc    TEXT NOT NULL,
        finished_utc   TEXT,                    -- NULL: unfinished, can be resumed
        owner_pid      INTEGER,                 -- the process that writes this run now
        owner_started  REAL                     -- and when it started, because pids are used again
    ) STRICT
    """,
    """
    CREATE TABLE model (
        id             INTEGER PRIMARY KEY,
        run_id         INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
        position       INTEGER NOT NULL,        -- order on the command line
        name           TEXT NOT NULL,
        quant          TEXT NOT NULL,
        path           TEXT NOT NULL,
        gguf_sha256    TEXT NOT NULL,
        gguf_bytes     INTEGER NOT NULL,
        template_sha256 TEXT NOT NULL,
        architecture   TEXT NOT NULL,
        format         TEXT NOT NULL,
        context        TEXT NOT NULL,           -- JSON, context settings
        UNIQUE (run_id, position)
    ) STRICT
    """,
    """
    CREATE TABLE cell (
        id             INTEGER PRIMARY KEY,
        run_id         INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
        model_id       INTEGER NOT NULL REFERENCES model(id) ON DELETE CASCADE,
        position       INTEGER NOT NULL,
        mode           TEXT NOT NULL,
        backend        TEXT NOT NULL,           -- "none" in the free modes
        backend_version TEXT NOT NULL,
        suite          TEXT NOT NULL,
        suite_sha256   TEXT NOT NULL,
        n_items        INTEGER NOT NULL,        -- planned
        UNIQUE (run_id, position)
    ) STRICT
    """,
    """
    CREATE TABLE item (
        id             INTEGER PRIMARY KEY,
        run_id         INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
        cell_id        INTEGER NOT NULL REFERENCES cell(id) ON DELETE CASCADE,
        key            TEXT NOT NULL,
        position       INTEGER NOT NULL,        -- order in the suite
        case_id        TEXT NOT NULL,
        category       TEXT NOT NULL,
        trial          INTEGER NOT NULL,
        episode_end    TEXT NOT NULL,           -- bench.records.EpisodeEnd
        error          TEXT,                    -- bench.records.ErrorKind; NULL: the episode was played
        error_message  TEXT,
        error_log      TEXT,                    -- JSON list: llama.cpp's last lines after a crash
        format_id      TEXT NOT NULL,           -- the format whose parser read the steps
        format_version TEXT NOT NULL,
        attempt        INTEGER NOT NULL,        -- 2: tried again after a crash
        n_slots        INTEGER NOT NULL,        -- how many items could be in flight: an attribute, not identity
        total_s        REAL NOT NULL,
        extra          TEXT NOT NULL,           -- JSON object: attributes that no score depends on
        created_utc    TEXT NOT NULL,
        UNIQUE (run_id, key)
    ) STRICT
    """,
    "CREATE INDEX item_of_cell ON item (cell_id)",
    """
    CREATE TABLE prompt (                        -- shared by all quants and modes of a prompt style
        sha256         TEXT PRIMARY KEY,
        text           TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE step (
        id             INTEGER PRIMARY KEY,
        item_id        INTEGER NOT NULL REFERENCES item(id) ON DELETE CASCADE,
        position       INTEGER NOT NULL,
        prompt_sha256  TEXT NOT NULL REFERENCES prompt(sha256),
        tokens         BLOB NOT NULL,           -- little-endian uint32
        text           TEXT NOT NULL,           -- special tokens kept
        stop           TEXT NOT NULL,
        n_prompt       INTEGER NOT NULL,
        n_cached       INTEGER NOT NULL,
        n_reasoning    INTEGER NOT NULL,
        prefill_s      REAL NOT NULL,
        ttft_s         REAL,
        ttfn_s         REAL,
        ttfc_s         REAL,
        decode_s       REAL NOT NULL,
        mask_s         REAL NOT NULL,
        host_s         REAL NOT NULL,
        compile_s      REAL NOT NULL,
        total_s        REAL NOT NULL,
        n_masked       INTEGER,                 -- NULL: no constraint
        n_interventions INTEGER,
        removed_mass   REAL,
        n_forced       INTEGER,
        parsed         TEXT NOT NULL,           -- JSON, engine.types.Parsed as the run saw it
        results        TEXT NOT NULL,           -- JSON list: what the simulated tools answered
        UNIQUE (item_id, position)
    ) STRICT
    """,
    """
    CREATE TABLE score (
        id             INTEGER PRIMARY KEY,
        item_id        INTEGER NOT NULL REFERENCES item(id) ON DELETE CASCADE,
        scorer         TEXT NOT NULL,
        scorer_version TEXT NOT NULL,
        outcome        TEXT NOT NULL,
        stale          INTEGER NOT NULL,        -- 1: a newer parser would have led the episode elsewhere
        details        TEXT NOT NULL,           -- JSON object
        created_utc    TEXT NOT NULL,
        UNIQUE (item_id, scorer, scorer_version)
    ) STRICT
    """,
    """
    CREATE TABLE latency_sample (
        id             INTEGER PRIMARY KEY,
        run_id         INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
        cell_id        INTEGER NOT NULL REFERENCES cell(id) ON DELETE CASCADE,
        key            TEXT NOT NULL,
        case_id        TEXT NOT NULL,
        repetition     INTEGER NOT NULL,
        error          TEXT,
        text           TEXT NOT NULL,
        stop           TEXT NOT NULL,
        n_prompt       INTEGER NOT NULL,
        n_tokens       INTEGER NOT NULL,
        n_forced       INTEGER NOT NULL,
        prefill_s      REAL NOT NULL,
        ttft_s         REAL,
        ttfn_s         REAL,
        ttfc_s         REAL,
        decode_s       REAL NOT NULL,
        mask_s         REAL NOT NULL,
        host_s         REAL NOT NULL,
        compile_s      REAL NOT NULL,
        total_s        REAL NOT NULL,
        energy_j       REAL,                    -- NULL: the card does not say, or there is none
        created_utc    TEXT NOT NULL,
        UNIQUE (run_id, key)
    ) STRICT
    """,
    "CREATE INDEX latency_sample_of_cell ON latency_sample (cell_id)",
    """
    CREATE TABLE model_load (
        id             INTEGER PRIMARY KEY,
        model_id       INTEGER NOT NULL REFERENCES model(id) ON DELETE CASCADE,
        load_s         REAL,                    -- NULL: it did not load
        n_ctx          INTEGER,
        n_slots        INTEGER,
        llama_build    TEXT,
        error          TEXT,                    -- why it did not load, or why this worker ended early
        created_utc    TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE memory_reading (
        id             INTEGER PRIMARY KEY,
        load_id        INTEGER NOT NULL REFERENCES model_load(id) ON DELETE CASCADE,
        moment         TEXT NOT NULL,           -- before, loaded, peak
        source         TEXT NOT NULL,           -- rss, vram, or a llama.cpp buffer: model, kv, rs, compute, output
        device         TEXT NOT NULL,           -- as llama.cpp names it; "" for the whole process
        n_bytes        INTEGER,                 -- NULL: cannot be known here; never 0 for that
        UNIQUE (load_id, moment, source, device)
    ) STRICT
    """,
)

_002_FINDINGS = (
    # JSON list of engine.types.Finding: what the self-check found when a worker had loaded the model
    "ALTER TABLE model ADD COLUMN findings TEXT NOT NULL DEFAULT '[]'",
)

_003_DRAFTS = (
    # choices that were guessed from the text before them, and those of them that the answer then made
    "ALTER TABLE step ADD COLUMN n_drafted INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE step ADD COLUMN n_accepted INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE latency_sample ADD COLUMN drafted INTEGER NOT NULL DEFAULT 0",  # 1: with drafts, beside one without
    "ALTER TABLE latency_sample ADD COLUMN n_drafted INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE latency_sample ADD COLUMN n_accepted INTEGER NOT NULL DEFAULT 0",
)

_004_SETTINGS = (
    # what tells a file at one context setting from the same file at the run's others; '': it has one only
    "ALTER TABLE model ADD COLUMN setting TEXT NOT NULL DEFAULT ''",
)

_005_FIRST_CALLS = (
    # 1: what requests with the same system message and tools share was decoded beforehand
    "ALTER TABLE latency_sample ADD COLUMN warm INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE latency_sample ADD COLUMN n_cached INTEGER NOT NULL DEFAULT 0",
    # as engine.types.FirstCall; NULL: there was no call, or it was not measured yet
    *(
        f"ALTER TABLE latency_sample ADD COLUMN {name} REAL"
        for name in ("reasoning_s", "prose_s", "call_s", "mask_wait_s", "overhead_s")
    ),
)

_006_ENERGY = (
    """
    CREATE TABLE energy_reading (
        id             INTEGER PRIMARY KEY,
        load_id        INTEGER NOT NULL REFERENCES model_load(id) ON DELETE CASCADE,
        moment         TEXT NOT NULL,           -- as in memory_reading
        device         TEXT NOT NULL,           -- "" for all cards together
        joules         REAL NOT NULL,           -- no row where the card does not say
        n_answers      INTEGER NOT NULL,        -- generations that were finished meanwhile, and their tokens
        n_tokens       INTEGER NOT NULL,
        seconds        REAL NOT NULL,
        UNIQUE (load_id, moment, device)
    ) STRICT
    """,
)

_007_AUDIT = (
    # JSON list of engine.types.Finding: what was known before the run of cases that no answer can be right to
    "ALTER TABLE run ADD COLUMN findings TEXT NOT NULL DEFAULT '[]'",
)

_008_FIRST_TOKENS = (
    # tokens that were there together with the first one, so that no decoding was timed for them
    "ALTER TABLE latency_sample ADD COLUMN n_first INTEGER",  # NULL: not counted yet, or no answer
    "UPDATE latency_sample SET n_first = 1 WHERE n_forced = 0 AND n_tokens > 0",
)

_009_MASKED_TOKENS = (
    # tokens that were chosen under a mask: what the time in masks was spent on
    "ALTER TABLE latency_sample ADD COLUMN n_masked INTEGER",  # NULL: not counted yet, or no answer
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    *(_001_INITIAL, _002_FINDINGS, _003_DRAFTS, _004_SETTINGS, _005_FIRST_CALLS, _006_ENERGY),
    *(_007_AUDIT, _008_FIRST_TOKENS, _009_MASKED_TOKENS),
)
