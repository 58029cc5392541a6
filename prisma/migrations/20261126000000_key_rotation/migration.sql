-- A key is published when it is made, signs from `active_from` until the next one of its algorithm does, and stays published until
-- the last token it signed has expired.
ALTER TABLE "signing_keys" ADD COLUMN "active_from" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP;
UPDATE "signing_keys" SET "active_from" = "created_at";

UPDATE "roles" SET "permissions" = "permissions" || ARRAY['read:keys', 'write:keys'] WHERE "name" = 'admin';
