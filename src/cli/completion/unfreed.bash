# Bash completion for unfreed(1).

_unfreed_commands='run report diff check snapshot doctor help --help --version'

_unfreed_values() {
  case $1 in
    -o | --output | --suppressions) _filedir ;;
    --track) mapfile -t COMPREPLY < <(compgen -W 'all fd heap thread child timer shm library fd,heap fd,thread' -- "$cur") ;;
    --format | -f) mapfile -t COMPREPLY < <(compgen -W 'text json html' -- "$cur") ;;
    --signal) mapfile -t COMPREPLY < <(compgen -W 'off USR1 USR2 HUP WINCH' -- "$cur") ;;
    --fail-on) mapfile -t COMPREPLY < <(compgen -W 'fd\>0 thread\>0 child\>0 misuse\>0 fd\>0,thread\>0 heap.bytes\>1M' -- "$cur") ;;
    --exit-code | --depth | --sample | --only | --inheritable | --allow-untracked) ;;
    *) return 1 ;;
  esac
}

_unfreed_options() {
  case $1 in
    run) echo '--output --track --only --allow-untracked --fail-on --inheritable --exit-code --signal --depth --sample --suppressions --quiet --force --all-reports --help --' ;;
    report) echo '--format --output --force --help' ;;
    diff) echo '--exit-code --output --force --help' ;;
    check) echo '--fail-on --allow-untracked --exit-code --quiet --help' ;;
    snapshot) echo '--output --fail-on --exit-code --suppressions --quiet --force --help' ;;
    doctor) echo '--help' ;;
  esac
}

_unfreed() {
  local cur prev words cword
  _init_completion -n '=><' || return

  if ((cword == 1)); then
    mapfile -t COMPREPLY < <(compgen -W "$_unfreed_commands" -- "$cur")
    return
  fi
  local command=${words[1]}

  # Where run's (or doctor's) CMD begins, its own completion takes over.
  if [[ $command == run || $command == doctor ]]; then
    local at=2
    while ((at < cword)); do
      case ${words[at]} in
        --)
          ((at++))
          break
          ;;
        -o | --output | --track | --only | --allow-untracked | --fail-on | --inheritable | --exit-code | --signal | --depth | --sample | --suppressions) ((at += 2)) ;;
        -*) ((at++)) ;;
        *) break ;;
      esac
    done
    if ((at < cword)) || [[ ${words[at - 1]} == -- ]]; then
      _command_offset "$at"
      return
    fi
  fi

  # diff's --exit-code has no value.
  [[ $command == diff && $prev == --exit-code ]] || { _unfreed_values "$prev" && return; }
  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_unfreed_options "$command")" -- "$cur")
    return
  fi
  case $command in
    run | doctor) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
    report | diff | check) _filedir ;;
    snapshot) mapfile -t COMPREPLY < <(compgen -W "$(command ps -axo pid=)" -- "$cur") ;;
    help) mapfile -t COMPREPLY < <(compgen -W "$_unfreed_commands" -- "$cur") ;;
  esac
} && complete -F _unfreed unfreed
