//go:build linux

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/presence-server/presence/presence"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// subscriptions describes rows of a database. Each of the users 0 to watchers-1
// watches a number of targets, which are the users first to first+targets-1. The rows
// are spread so that every target has the same number of watchers.
type subscriptions struct{ watchers, targets, first, each int }

// spread is the distance between two targets of one watcher.
const spread = 199

// seed returns the closed database of a server that has users 0 to n-1, who are
// UNLOGINED. SQL inserts the rows; calls would take minutes.
func (b *bench) seed(name string, n int, all ...subscriptions) (path string, err error) {
	if path, found := b.seeds[name]; found {
		return path, nil
	}
	path = filepath.Join(b.Folder, fmt.Sprintf("seed-%d.db", len(b.seeds)))
	svc, err := presence.Open(context.Background(), presence.Config{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	if err := svc.Close(); err != nil {
		return "", err
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return "", err
	}
	if err := errors.Join(fill(db, n, all), db.Close()); err != nil {
		return "", fmt.Errorf("seed %s: %w", name, err)
	}
	b.seeds[name] = path
	return path, nil
}

func fill(db *sql.DB, n int, all []subscriptions) error {
	db.SetMaxOpenConns(1) // a pragma applies to one connection
	_, err := db.Exec(`PRAGMA synchronous = OFF; BEGIN;
		WITH RECURSIVE i(i) AS (VALUES (0) UNION ALL SELECT i+1 FROM i WHERE i+1 < ?1)
		INSERT INTO users SELECT i+1, printf('user-%06d', i), 3, 0, i+1, 0, 3, 0, i+1, 0, 0, 0, '', 0, 0, 0, 0, 0, 0, 0 FROM i;
		UPDATE service SET next_user = ?1+1, version = max(version, ?1);`, n)
	if err != nil {
		return err
	}
	for _, s := range all {
		_, err := db.Exec(`WITH RECURSIVE
			i(i) AS (VALUES (0) UNION ALL SELECT i+1 FROM i WHERE i+1 < ?1),
			k(k) AS (VALUES (1) UNION ALL SELECT k+1 FROM k WHERE k+1 <= ?4)
			INSERT INTO subscriptions SELECT i+1, 1 + ?3 + (i + k*?5) % ?2, k FROM i, k ORDER BY 1, 2`,
			s.watchers, s.targets, s.first, s.each, spread)
		if err != nil {
			return err
		}
	}
	_, err = db.Exec("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}
