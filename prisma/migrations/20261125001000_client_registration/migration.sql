-- Clients that registered themselves: how, the hash of what they manage their registration with, and when they were last of use.
ALTER TABLE "oauth_clients"
  ADD COLUMN "registration" TEXT,
  ADD COLUMN "registration_token_hash" TEXT,
  ADD COLUMN "last_used_at" TIMESTAMPTZ(3),
  -- Where the pages of a public client are: what CORS asks for on every preflight.
  ADD COLUMN "cors_origins" TEXT[] NOT NULL DEFAULT '{}';

UPDATE "oauth_clients" c SET "cors_origins" = ARRAY(
  SELECT DISTINCT lower(substring(u from '^https?://[^/?#]+'))
    FROM jsonb_array_elements_text(CASE jsonb_typeof(c."metadata" -> 'redirect_uris') WHEN 'array' THEN c."metadata" -> 'redirect_uris' ELSE '[]' END) u
   WHERE u ~ '^https?://[^/?#]+')
 WHERE c."metadata" ->> 'token_endpoint_auth_method' = 'none';

CREATE INDEX "oauth_clients_cors_origins_idx" ON "oauth_clients" USING GIN ("cors_origins");
CREATE INDEX "oauth_clients_registration_created_at_idx" ON "oauth_clients" ("registration", "created_at");

-- What lets somebody register clients.
CREATE TABLE "initial_access_tokens" (
  "id" UUID NOT NULL PRIMARY KEY,
  "name" TEXT NOT NULL,
  "token_hash" TEXT NOT NULL,
  "uses_left" INTEGER NOT NULL,
  "created_by" UUID,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "expires_at" TIMESTAMPTZ(3) NOT NULL,
  "last_used_at" TIMESTAMPTZ(3)
);
CREATE UNIQUE INDEX "initial_access_tokens_token_hash_key" ON "initial_access_tokens" ("token_hash");
CREATE INDEX "initial_access_tokens_created_at_id_idx" ON "initial_access_tokens" ("created_at", "id");

-- Clients whose client_id is the address of their metadata, as they were last read there.
CREATE TABLE "client_documents" (
  "client_id" TEXT NOT NULL PRIMARY KEY,
  "metadata" JSONB NOT NULL,
  "cors_origins" TEXT[] NOT NULL,
  "fetched_at" TIMESTAMPTZ(3) NOT NULL,
  "fresh_until" TIMESTAMPTZ(3) NOT NULL
);
CREATE INDEX "client_documents_cors_origins_idx" ON "client_documents" USING GIN ("cors_origins");
CREATE INDEX "client_documents_fetched_at_idx" ON "client_documents" ("fetched_at");
