package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/presence-server/presence/httpapi/webhook"
)

const helpWebhookTest = `Sends a sample of a message to URL, once, signed with webhooks.secret, and prints
what came back within 10 seconds. URL need not be one of webhooks.urls, and the
server need not run. The sample says that the user presence-webhook-test is
unknown, so a receiver has nothing to do.

Exit code: 0 received (the response is 2xx), 1 not received, or the secret is
missing or not valid, 2 misused.`

func startWebhookTest(set *flag.FlagSet) action {
	return func(ctx context.Context, read reader, operands []string) error {
		url := operands[0]
		if err := webhook.CheckURL(url); err != nil {
			return misused(set, fmt.Errorf("URL %w", err))
		}
		c, err := read("webhooks.secret")
		if err != nil {
			return err
		}
		if c.Webhooks.Secret == "" {
			return errors.New("webhooks.secret is not set")
		}
		began := time.Now()
		response, err := webhook.Test(ctx, url, c.Webhooks.Secret)
		if response.Status != 0 {
			fmt.Printf("%s responds %s after %v\n", webhook.Show(url), response, time.Since(began).Round(time.Millisecond))
			printBody(response.Body)
		}
		if err != nil {
			return fmt.Errorf("not received by %s: %w", webhook.Show(url), err)
		}
		return nil
	}
}

// printBody prints the beginning of a response. Its control characters are escaped, so
// that it can't write anywhere else on the terminal.
func printBody(body []byte) {
	const most = 500
	if len(body) > most {
		body = append(body[:most:most], "…"...)
	}
	for line := range strings.Lines(string(body)) {
		fmt.Println("  " + printable(strings.TrimRight(line, "\r\n")))
	}
}
