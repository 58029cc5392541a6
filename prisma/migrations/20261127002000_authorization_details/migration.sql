-- RFC 9396: what can be asked for at an API in detail.
ALTER TABLE "resource_servers" ADD COLUMN "detail_types" JSONB NOT NULL DEFAULT '[]';
