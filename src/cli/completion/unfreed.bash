# Bash completion for unfreed(1). Commands, options and their values are those that the command names (--describe).

# The lines of `unfreed [COMMAND] --describe`, into the array `described`.
_unfreed_describe() {
  mapfile -t described < <("${words[0]}" "$@" --describe 2>/dev/null)
}

# The line of option $1 into the array `fields`: names, value, what completes it.
_unfreed_find_option() {
  local line name
  for line in "${described[@]}"; do
    IFS=$'\x1f' read -ra fields <<<"${line//$'\t'/$'\x1f'}"
    for name in ${fields[0]//,/ }; do
      [[ $name == "$1" ]] && return 0
    done
  done
  return 1
}

# The processes that attach can be given, into COMPREPLY: pids, and the names of their programs.
_unfreed_running() {
  local name IFS=$'\n' all=(/proc/[0-9]*)
  all=("${all[@]#/proc/}")
  for name in /proc/[0-9]*/comm; do
    { read -r name <"$name" && [[ $name ]]; } 2>/dev/null && all+=("$name")
  done
  COMPREPLY=()
  for name in "${all[@]}"; do
    [[ $name == "$cur"* && " ${COMPREPLY[*]@Q} " != *"${name@Q}"* ]] && COMPREPLY+=("$name")
  done
}

_unfreed() {
  local cur prev words cword described fields line
  _init_completion -n '=><' || return

  _unfreed_describe
  local commands=()
  for line in "${described[@]}"; do
    [[ $line == command$'\t'* ]] && line=${line#*$'\t'} && commands+=("${line%%$'\t'*}")
  done
  if ((cword == 1)); then
    mapfile -t COMPREPLY < <(compgen -W "${commands[*]} help --help --version" -- "$cur")
    return
  fi
  local command=${words[1]}
  _unfreed_describe "$command"

  # Where run's (or doctor's) CMD begins, its own completion takes over.
  if [[ $command == run || $command == doctor ]]; then
    local at=2
    while ((at < cword)); do
      case ${words[at]} in
        --)
          ((at++))
          break
          ;;
        -*)
          if _unfreed_find_option "${words[at]}" && [[ ${fields[1]} ]]; then ((at += 2)); else ((at++)); fi
          ;;
        *) break ;;
      esac
    done
    if ((at < cword)) || [[ ${words[at - 1]} == -- ]]; then
      _command_offset "$at"
      return
    fi
  fi

  if _unfreed_find_option "$prev" && [[ ${fields[1]} && ${fields[1]} != '['* ]]; then
    case ${fields[2]} in
      '<file>') _filedir ;;
      *) mapfile -t COMPREPLY < <(compgen -W "${fields[2]//>/\\>}" -- "$cur") ;;
    esac
    return
  fi
  if [[ $cur == -* ]]; then
    local names=()
    for line in "${described[@]}"; do line=${line%%$'\t'*} && names+=("${line##*,}"); done
    [[ $command == run ]] && names+=(--)
    mapfile -t COMPREPLY < <(compgen -W "${names[*]}" -- "$cur")
    return
  fi
  case $command in
    run | doctor) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
    report | diff | check | push) _filedir ;;
    baseline) if ((cword == 2)); then mapfile -t COMPREPLY < <(compgen -W "write update check" -- "$cur"); else _filedir; fi ;;
    snapshot | watch | top | detach) mapfile -t COMPREPLY < <(compgen -W "$(command "$1" list 2>/dev/null | awk 'NR > 1 {print $1}')" -- "$cur") ;;
    attach) _unfreed_running ;;
    help) mapfile -t COMPREPLY < <(compgen -W "${commands[*]}" -- "$cur") ;;
  esac
} && complete -F _unfreed unfreed
