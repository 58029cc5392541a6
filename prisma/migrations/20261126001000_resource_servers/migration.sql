-- CreateTable: the APIs that tokens are for (RFC 8707).
CREATE TABLE "resource_servers" (
    "identifier" TEXT NOT NULL,
    -- The identifier as URLs are compared: one resource has one spelling.
    "identifier_key" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "scopes" JSONB NOT NULL,
    "default_scopes" TEXT[],
    "token_format" TEXT NOT NULL,
    "ttl_seconds" INTEGER NOT NULL,
    "signing_alg" TEXT,
    "introspection_clients" TEXT[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "resource_servers_pkey" PRIMARY KEY ("identifier")
);

-- CreateIndex
CREATE UNIQUE INDEX "resource_servers_identifier_key_key" ON "resource_servers"("identifier_key");

-- What people have allowed at each resource: identifier → scopes.
ALTER TABLE "consents" ADD COLUMN "resources" JSONB NOT NULL DEFAULT '{}';

UPDATE "roles" SET "permissions" = "permissions" || ARRAY['read:resources', 'write:resources'] WHERE "name" = 'admin';
