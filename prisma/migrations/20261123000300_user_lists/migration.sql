-- For the administrators' list of users: each order, each filter and the look-up by a prefix has an index to go by.
-- Emails and usernames go by code points (COLLATE "C"), whatever the database's collation: only so can one index both find a
-- prefix and give an order, and an upgrade of the system's locales does not move anybody in it.
DROP INDEX "users_email_key_prefix_idx";
DROP INDEX "users_username_key_prefix_idx";

-- These two have the keys of every order, so that who is found by a prefix can be sorted without looking at the table.
-- CreateIndex
CREATE INDEX "users_email_order_idx" ON "users"("email_key" COLLATE "C", "id") INCLUDE ("username_key", "created_at");

-- Who has no username sorts as if it were empty: before everybody else, in one order without NULLs. The plain column is there
-- because PostgreSQL answers from an index alone only where it has the columns themselves.
-- CreateIndex
CREATE INDEX "users_username_order_idx" ON "users"((COALESCE("username_key", '') COLLATE "C"), "id")
    INCLUDE ("username_key", "email_key", "created_at");

-- CreateIndex
CREATE INDEX "users_role_created_at_id_idx" ON "users"("role", "created_at", "id");

-- CreateIndex
CREATE INDEX "users_email_verified_created_at_id_idx" ON "users"("email_verified", "created_at", "id");

-- CreateIndex
CREATE INDEX "users_with_password_idx" ON "users"("created_at", "id") WHERE "password_hash" IS NOT NULL;

-- CreateIndex
CREATE INDEX "users_without_password_idx" ON "users"("created_at", "id") WHERE "password_hash" IS NULL;

-- CreateIndex
CREATE INDEX "users_banned_idx" ON "users"("created_at", "id") INCLUDE ("banned_until") WHERE "banned_at" IS NOT NULL;

-- CreateIndex
CREATE INDEX "users_erasing_idx" ON "users"("created_at", "id") INCLUDE ("banned_at", "banned_until") WHERE "erase_after" IS NOT NULL;

-- The audit log goes by its places; a span of time long ago is found by this.
-- CreateIndex
CREATE INDEX "audit_events_time_idx" ON "audit_events"("time");
