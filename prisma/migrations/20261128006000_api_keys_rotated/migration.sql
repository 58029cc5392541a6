-- A key that was rotated keeps when it would have expired: whoever rotates it once more, for a lost answer, gets a successor of that age.
ALTER TABLE "api_keys" ADD COLUMN "rotated_at" TIMESTAMPTZ(3);
ALTER TABLE "api_keys" ADD COLUMN "planned_expires_at" TIMESTAMPTZ(3);
