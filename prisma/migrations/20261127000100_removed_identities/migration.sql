-- Sign-ins that somebody has taken off their account: its address alone does not bring them back.
CREATE TABLE "removed_identities" (
    "user_id" UUID NOT NULL,
    "provider" TEXT NOT NULL,
    "issuer" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "removed_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "removed_identities_pkey" PRIMARY KEY ("user_id", "provider", "issuer", "subject"),
    CONSTRAINT "removed_identities_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE
);
