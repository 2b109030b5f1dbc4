package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// command is what the program can do apart from serving. Its name is one word or
// several. operand is the usage of
// what follows its name: "" for nothing, USER for exactly one, [PREFIX] for at most
// one, and [USER…] for any number. start adds the flags of the command, and returns
// what to do once they are parsed.
type command struct {
	name, operand, about, help string
	start                      func(*flag.FlagSet) action
}

// allKeys, as what a command needs, is every key.
const allKeys = "*"

// action carries out a command. read returns the configuration that the flags
// name; its error is only about keys that the command needs. The operands are as
// many as the command allows, and none is empty.
type action func(ctx context.Context, read reader, operands []string) error

// reader reads the configuration for a command that needs some keys of it.
type reader func(needed ...string) (config, error)

// readFor returns a reader of a file. What is wrong with the keys that a command
// doesn't need is a warning, so that a half-renewed certificate or an unknown key
// prevents no backup.
func readFor(file string) reader {
	return func(needed ...string) (config, error) {
		c, found, err := readConfig(flags{file: file})
		if err != nil {
			return c, err
		}
		var errs problems
		for _, p := range found {
			if slices.Contains(needed, p.key) || slices.Contains(needed, allKeys) {
				errs = append(errs, p)
			} else {
				fmt.Fprintln(os.Stderr, "presence: warning:", p.text)
			}
		}
		return c, errs.err()
	}
}

func commands() []command {
	return []command{
		{"token", "USER", "print a token for a user", helpToken, startToken},
		{"check", "", "check the configuration and the database", helpCheck, startCheck},
		{"backup", "FILE", "back up the database", helpBackup, startBackup},
		{"restore", "FILE", "put a backup in the place of the database", helpRestore, startRestore},
		{"health", "", "ask the server on this machine whether it is ready", helpHealth, startHealth},
		{"doctor", "URL", "measure what lies between clients and the server", helpDoctor, startDoctor},
		{"users", "[PREFIX]", "list the users and their statuses", helpUsers, startUsers},
		{"explain", "USER", "explain why a user has a status, and what changes it next", helpExplain, startExplain},
		{"kick", "USER", "log a user out everywhere, and revoke the user's tokens", helpKick, startKick},
		{"webhook test", "URL", "send a sample of a message to a URL", helpWebhookTest, startWebhookTest},
		{"cluster leave", "", "make the database that of a single server again", helpClusterLeave, startClusterLeave},
		{"cluster accept", "", "make the log go on from this node, after it has lost its end", helpClusterAccept, startClusterAccept},
		{"follow", "[USER…]", "show each change of status as it happens", helpFollow, startFollow},
	}
}

// runCommand runs the command that the arguments name. file is that of -config,
// which may also follow the command.
func runCommand(ctx context.Context, file string, args []string) error {
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if n := len(words); len(args) >= n && slices.Equal(words, args[:n]) {
			return c.run(ctx, file, args[n:])
		}
	}
	return failure{fmt.Errorf("there is no command %q: see presence -h", args[0]), misuse}
}

func (c command) run(ctx context.Context, file string, args []string) error {
	set := flag.NewFlagSet("presence "+c.name, flag.ContinueOnError)
	set.StringVar(&file, "config", file, "read the configuration from `FILE` (default presence.toml, if there is one)")
	act := c.start(set)
	operands, err := parse(set, args)
	switch {
	case err == flag.ErrHelp:
		printHelp(set, fmt.Sprintf("Usage: %s\n\n%s\n", strings.TrimSpace(set.Name()+" [flags] "+c.operand), c.help))
		return nil
	case err != nil:
		return misused(set, err)
	}
	if err := c.checkOperands(operands); err != nil {
		return misused(set, err)
	}
	if err := act(ctx, readFor(file), operands); !errors.Is(err, errNobodyReads) {
		return err
	}
	return nil
}

// checkOperands returns an error if these are too few or too many for the command,
// or one is empty.
func (c command) checkOperands(operands []string) error {
	name, optional := strings.CutPrefix(strings.TrimSuffix(c.operand, "]"), "[")
	name, several := strings.CutSuffix(name, "…")
	switch n := len(operands); {
	case name == "" && n > 0:
		return fmt.Errorf("unexpected argument %q", operands[0])
	case slices.Contains(operands, ""):
		return fmt.Errorf("%s must not be empty", name)
	case optional && n > 1 && !several:
		return fmt.Errorf("at most one %s is possible, not %d", name, n)
	case name != "" && !optional && n != 1:
		return fmt.Errorf("one %s is needed, not %d", name, n)
	}
	return nil
}

// parse accepts flags before the operands and after them.
func parse(set *flag.FlagSet, args []string) (operands []string, err error) {
	set.SetOutput(io.Discard) // errors are returned in one line
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		if set.NArg() == 0 {
			return operands, nil
		}
		operands, args = append(operands, set.Arg(0)), set.Args()[1:]
	}
}

// printUsage prints the commands, and the flags for serving.
func printUsage(set *flag.FlagSet) {
	text := "Usage: presence [flags]            to serve\n       presence [flags] COMMAND …\n\nCommands:\n"
	for _, c := range commands() {
		text += fmt.Sprintf("  %-16s %s\n", c.name+" "+c.operand, c.about)
	}
	printHelp(set, text+"\npresence COMMAND -h says more about each. Exit code: 0 fine, 1 failed, 2 misused.\n")
}

func printHelp(set *flag.FlagSet, text string) {
	fmt.Print(text, "\nFlags:\n")
	set.SetOutput(os.Stdout)
	set.PrintDefaults()
}

// misuse is the exit code for a wrong call of the program.
const misuse = 2

// failure is an error with an exit code of its own.
type failure struct {
	error
	code int
}

// misused returns an error for a program or command that was called in the wrong
// way.
func misused(set *flag.FlagSet, err error) error {
	return failure{fmt.Errorf("%w: see %s -h", err, set.Name()), misuse}
}

// exitCode returns what the program exits with: 0 without an error, and usually 1
// with one.
func exitCode(err error) int {
	if f, ok := errors.AsType[failure](err); ok {
		return f.code
	}
	if err != nil {
		return 1
	}
	return 0
}
