-- Whether who signs in to the account is known to be who proved its address. Of accounts that were there before, that is known only
-- of those that a provider vouched for from the start.
ALTER TABLE "users" ADD COLUMN "holder_proven" BOOLEAN NOT NULL DEFAULT false;

-- Whom the provider's name stood for when the identity was linked; empty until the first start that knows.
ALTER TABLE "identities" ADD COLUMN "issuer" TEXT NOT NULL DEFAULT '';

UPDATE "users" u SET "holder_proven" = true
 WHERE u."email_verified" AND u."password_hash" IS NULL
   AND EXISTS (SELECT 1 FROM "identities" i WHERE i."user_id" = u."id")
   AND NOT EXISTS (SELECT 1 FROM "identities" i WHERE i."user_id" = u."id" AND NOT i."email_verified");

-- One subject may be two people at two issuers that bore one name.
CREATE UNIQUE INDEX "identities_provider_issuer_subject_key" ON "identities"("provider", "issuer", "subject");
DROP INDEX "identities_provider_subject_key";
