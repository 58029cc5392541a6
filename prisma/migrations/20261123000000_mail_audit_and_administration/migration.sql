-- AlterTable
ALTER TABLE "users" ADD COLUMN "ban_reason" TEXT,
ADD COLUMN "banned_until" TIMESTAMPTZ(3),
ADD COLUMN "erase_after" TIMESTAMPTZ(3);

-- AlterTable
ALTER TABLE "oauth_clients" ADD COLUMN "previous_secret_expires_at" TIMESTAMPTZ(3),
ADD COLUMN "previous_secret_hash" TEXT;

-- Administration is more than users: each part is a permission of its own.
UPDATE "roles" SET "permissions" = "permissions" || ARRAY['read:clients', 'write:clients', 'read:audit'] WHERE "name" = 'admin';

-- CreateTable
CREATE TABLE "one_time_tokens" (
    "token_hash" TEXT NOT NULL,
    "purpose" TEXT NOT NULL,
    "user_id" UUID,
    "email" TEXT,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "one_time_tokens_pkey" PRIMARY KEY ("token_hash")
);

-- CreateTable
CREATE TABLE "outgoing_mails" (
    "id" UUID NOT NULL,
    "sealed" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "next_attempt_at" TIMESTAMPTZ(3),
    "last_error" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "outgoing_mails_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "audit_events" (
    "seq" BIGINT NOT NULL,
    "event" TEXT NOT NULL,
    "mac" TEXT NOT NULL,
    -- Read off the event, so that they cannot say anything else. Times are ISO 8601 in UTC, which sort as text.
    "time" TEXT NOT NULL GENERATED ALWAYS AS ("event"::jsonb ->> 'time') STORED,
    "type" TEXT NOT NULL GENERATED ALWAYS AS ("event"::jsonb ->> 'type') STORED,
    "actor" TEXT GENERATED ALWAYS AS ("event"::jsonb ->> 'actor') STORED,
    "target" TEXT GENERATED ALWAYS AS ("event"::jsonb ->> 'target') STORED,
    "client" TEXT GENERATED ALWAYS AS ("event"::jsonb ->> 'client') STORED,

    CONSTRAINT "audit_events_pkey" PRIMARY KEY ("seq")
);

-- Append-only: what was recorded is neither changed nor removed, by any program that uses this database as we do.
CREATE FUNCTION "audit_events_append_only"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_events is append-only';
END;
$$;
CREATE TRIGGER "audit_events_append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON "audit_events"
    FOR EACH STATEMENT EXECUTE FUNCTION "audit_events_append_only"();

-- CreateTable
CREATE TABLE "consents" (
    "user_id" UUID NOT NULL,
    "client_id" TEXT NOT NULL,
    "scopes" TEXT[],
    "claims" TEXT[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_used_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "consents_pkey" PRIMARY KEY ("user_id","client_id")
);

-- CreateTable
CREATE TABLE "sign_ins" (
    "id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "session_hash" TEXT,
    "grant_id" TEXT,
    "ip" TEXT NOT NULL,
    "user_agent" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_used_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "sign_ins_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "users_created_at_id_idx" ON "users"("created_at", "id");

-- CreateIndex
CREATE INDEX "users_erase_after_idx" ON "users"("erase_after");

-- Look-ups by the beginning of an address or a name, in any collation.
CREATE INDEX "users_email_key_prefix_idx" ON "users"("email_key" text_pattern_ops);

-- CreateIndex
CREATE INDEX "users_username_key_prefix_idx" ON "users"("username_key" text_pattern_ops);

-- CreateIndex
CREATE INDEX "one_time_tokens_user_id_purpose_idx" ON "one_time_tokens"("user_id", "purpose");

-- CreateIndex
CREATE INDEX "one_time_tokens_expires_at_idx" ON "one_time_tokens"("expires_at");

-- CreateIndex
CREATE INDEX "outgoing_mails_next_attempt_at_idx" ON "outgoing_mails"("next_attempt_at");

-- CreateIndex
CREATE INDEX "audit_events_type_seq_idx" ON "audit_events"("type", "seq");

-- CreateIndex
CREATE INDEX "audit_events_actor_seq_idx" ON "audit_events"("actor", "seq");

-- CreateIndex
CREATE INDEX "audit_events_target_seq_idx" ON "audit_events"("target", "seq");

-- CreateIndex
CREATE INDEX "audit_events_client_seq_idx" ON "audit_events"("client", "seq");

-- CreateIndex
CREATE INDEX "consents_client_id_idx" ON "consents"("client_id");

-- CreateIndex
CREATE UNIQUE INDEX "sign_ins_session_hash_key" ON "sign_ins"("session_hash");

-- CreateIndex
CREATE UNIQUE INDEX "sign_ins_grant_id_key" ON "sign_ins"("grant_id");

-- CreateIndex
CREATE INDEX "sign_ins_user_id_last_used_at_idx" ON "sign_ins"("user_id", "last_used_at");

-- AddForeignKey
ALTER TABLE "one_time_tokens" ADD CONSTRAINT "one_time_tokens_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "consents" ADD CONSTRAINT "consents_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "sign_ins" ADD CONSTRAINT "sign_ins_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE;
